"""A finished run on this disk, checked against the receipts of the jobs that made it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from unsee.core.failures import JobError
from unsee.jobs import receipts
from unsee.jobs.runs import RUN, Run
from unsee.models import checkpoints

#: The folders above ``results/`` and below it that lead to a run.
_LAYOUT = re.compile(r"results/models/(?P<model>[^/]+)/forget(?P<percent>\d+)/(?P<method>[^/]+)/seed(?P<seed>\d+)$")
#: The record of a base model that was fetched.
RECORD = "published.json"
_AGAIN = "give the snakemake command of these results again, which makes it anew"


class ExportError(JobError):
    """A run cannot be exported."""


@dataclass(frozen=True)
class FinishedRun:
    """A run whose files are complete and as its jobs left them.

    Attributes:
        place: the folder that contains ``results/``.
        model: the base model's name in result paths.
        run: ratio, method and seed.
        base: the folder of the base model.
    """

    place: Path
    model: str
    run: Run
    base: Path

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return _folder(self.place, self.model, self.run)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the training left in manifest.json."""
        return _manifest(self.folder)

    @property
    def spec(self) -> dict[str, Any]:
        """What :func:`unsee.models.model.load` needs, with the base model's folder on this disk."""
        spec = self.manifest["made"]["parameters"]["model"]
        return {**{key: spec[key] for key in ("name", "family", "dtype")}, "path": str(self.base)}

    @property
    def published(self) -> tuple[str, str] | None:
        """Name and commit of a base model that was fetched; None for a base model in a folder."""
        record = self.manifest["made"]["parameters"]["model"].get("record")
        if record is None:
            return None
        content = json.loads((self.place / record).read_text(encoding="utf-8"))
        return str(content["repository"]), str(content["revision"])

    @property
    def adapters(self) -> list[Path]:
        """The results that make the model, in the order in which they are put on the base model."""
        runs = [Run(0, "vanilla", self.run.seed), self.run] if self.run.training_rule == "unlearn" else [self.run]
        return [_folder(self.place, self.model, run) / "adapter" for run in runs]


def read(folder: Path, base: Path | None = None) -> FinishedRun:
    """Read a run and check every file that its model is made of.

    Args:
        folder: ``results/models/{model}/forget{percent}/{method}/seed{seed}``.
        base: the folder of the base model; by default where the run's manifest says.

    Raises:
        ExportError: the folder is no run; the run is unfinished; a file is not as its job left it.
    """
    match = _LAYOUT.search(folder.resolve().as_posix())
    if not folder.is_dir() or not match:
        raise ExportError(
            f"{folder}: is {'no' if folder.is_dir() else 'not there; expected the'} folder of a run",
            "name a folder results/models/MODEL/forgetN/METHOD/seedS",
        )
    place, model = folder.resolve().parents[5], match["model"]
    run = Run(int(match["percent"]), match["method"], int(match["seed"]))
    if run.training_rule is None:
        raise ExportError(
            f"{folder}: is the base model, from which nothing was trained", "name vanilla or another run beside it"
        )
    receipt = _check_outputs(place, model, run)
    _check_inputs(place, receipt)
    first = receipt
    if run.training_rule == "unlearn":
        first = _check_outputs(place, model, Run(0, "vanilla", run.seed))
        _check_inputs(place, first)
    spec = _manifest(folder)["made"]["parameters"]["model"]
    base = base or _base_folder(place, spec)
    _check_base(base, place, first)
    return FinishedRun(place, model, run, base)


def receipt_path(place: Path, rule: str, model: str, run: Run, task: str = "") -> Path:
    """The receipt of a job of a run."""
    name = RUN.format(**run.wildcards(model)) + (f"/{task}" if task else "")
    return place / f"results/jobs/{rule}/{name}.json"


def _folder(place: Path, model: str, run: Run) -> Path:
    return place / "results/models" / RUN.format(**run.wildcards(model))


def _manifest(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return content


def _check_outputs(place: Path, model: str, run: Run) -> dict[str, Any]:
    """The receipt of the job that trained a run, after a check of everything that the job wrote."""
    path, folder = receipt_path(place, str(run.training_rule), model, run), _folder(place, model, run)
    try:
        receipt = receipts.read(path)
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{folder}: is not finished: {path} is not there or not readable ({_reason(error)})", _AGAIN
        ) from None
    for name, record in receipt["outputs"].items():
        if not receipts.is_as_recorded(place / name, record):
            state = "is damaged: it is not as its job left it" if (place / name).exists() else "is missing"
            raise ExportError(f"{place / name}: {state} ({path})", _AGAIN)
    return receipt


def _check_inputs(place: Path, receipt: Mapping[str, Any]) -> None:
    """Check that the results that a training read are those that are there now."""
    for name, digest in receipt["inputs"].items():
        path = place / name
        if name.startswith("results/") and (not path.is_file() or receipts.fingerprint(str(path)) != digest):
            raise ExportError(f"{path}: is not the file that the run was made with", _AGAIN)


def _base_folder(place: Path, spec: Mapping[str, Any]) -> Path:
    """The base model's folder, where the manifest says it is."""
    if spec.get("record"):
        return checkpoints.folder_of({**spec, "record": str(place / spec["record"])})
    folder = place / str(spec["path"])
    if not folder.is_dir():
        raise ExportError(f"{folder}: the base model is not there", "name its folder with --base FOLDER")
    return folder


def _check_base(base: Path, place: Path, receipt: Mapping[str, Any]) -> None:
    """Check that the base model is the one that the first training read: by content, or one that was fetched by its files' sizes."""
    for name, digest in receipt["inputs"].items():
        if name.startswith("results/") and not name.startswith("results/base/"):
            continue
        if Path(name).name == RECORD:  # names the commit
            files = json.loads((place / name).read_text(encoding="utf-8"))["files"].items()
            wrong = [base / file for file, size in files if not _has_size(base / file, size)]
        else:
            path = base / Path(name).name
            wrong = [] if path.is_file() and receipts.fingerprint(str(path)) == digest else [path]
        if wrong:
            state = "is another file than the run was made with" if wrong[0].is_file() else "is not there"
            raise ExportError(f"{wrong[0]}: {state}", "name the folder of the run's base model with --base FOLDER")


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _reason(error: Exception) -> str:
    return (error.strerror or "") if isinstance(error, OSError) else str(error)
