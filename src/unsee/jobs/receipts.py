"""The receipt that each finished job writes, and the checks that use receipts.

A receipt holds the hash of the job's parameters (:mod:`unsee.jobs.job_hash`), the digests of its inputs and outputs, and the hardware. It
shows whether outputs have changed since the job wrote them (:func:`damaged_outputs`), and whether all parts of a table come from one
configuration, the present one (:func:`check`). Paths are relative, so that ``results/`` can be moved.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unsee import __version__
from unsee.core import files
from unsee.core.versions import RECORDED, versions

#: Bytes. Larger inputs outside of ``results/`` are recorded by size only, as with max-checksum-file-size in profiles/default.
LARGE = 1_000_000_000


class ReceiptError(RuntimeError):
    """Results come from different configurations, or from another one than the present."""


def sha256(path: Path) -> str:
    """The digest of a file's content, or of a folder's files with their names."""
    if path.is_dir():
        whole = hashlib.sha256()
        for file in _files(path):
            whole.update(f"{file.relative_to(path).as_posix()} {sha256(file)}\n".encode())
        return whole.hexdigest()
    return files.sha256(path)


def fingerprint(path: str) -> str:
    """The digest of an input; for a file of more than a gigabyte outside of ``results/``, its size.

    Such a file is a shard of a base model, which every job would have to read. Results always have a digest, which is compared with
    the receipt of the job that wrote them.
    """
    size = _size(Path(path))
    return sha256(Path(path)) if size <= LARGE or _is_result(path) else f"{size} bytes"


def describe(
    *, rule: str, job_hash: str, parameters: Mapping[str, Any], inputs: Iterable[str], project: Path
) -> dict[str, Any]:
    """The record of a job: rule, parameters, inputs, versions and hardware.

    Args:
        rule: the rule's name.
        job_hash: the hash of the job's parameters.
        parameters: the parameters themselves.
        inputs: the files that the job read.
        project: the folder of the code.
    """
    return {
        "rule": rule,
        "job_hash": job_hash,
        "parameters": portable(parameters),
        "inputs": {_name(path): fingerprint(path) for path in sorted(set(inputs))},
        "revision": revision(project),
        "versions": {"python": platform.python_version(), "unsee": __version__} | versions(RECORDED),
        "hardware": hardware(),
    }


def outputs(paths: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Size and digest of each output."""
    return {path: {"bytes": _size(Path(path)), "sha256": sha256(Path(path))} for path in sorted(paths)}


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically."""
    files.write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def damaged_outputs(receipt: Path, outputs: Sequence[str]) -> list[str]:
    """The outputs that are missing or have changed since their job wrote them; without a valid receipt, all that exist.

    Outputs are compared by content, because Snakemake sets their modification times when a job ends.

    Args:
        receipt: the receipt of the job.
        outputs: the files that the job writes.
    """
    try:
        recorded = read(receipt)["outputs"]
    except (OSError, ValueError):
        recorded = {}
    if set(recorded) != set(outputs):  # no receipt, or one of another job
        return [path for path in outputs if Path(path).exists()]
    return [path for path, record in recorded.items() if not is_as_recorded(Path(path), record)]


def read(receipt: Path) -> dict[str, Any]:
    """The content of a receipt, after a check of its parts and their types.

    Raises:
        OSError: the file is missing or not readable.
        ValueError: the file is not the record of a job.
    """
    try:
        made = json.loads(receipt.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(made, dict) or not isinstance(made.get("job_hash"), str):
        raise ValueError("no job_hash in it")
    outputs, inputs = made.get("outputs"), made.get("inputs")
    if not isinstance(outputs, dict) or not outputs or not isinstance(inputs, dict):
        raise ValueError("no inputs and outputs in it")
    for path, record in outputs.items():
        if (
            not isinstance(record, dict)
            or type(record.get("bytes")) is not int
            or not isinstance(record.get("sha256"), str)
        ):
            raise ValueError(f"no size and digest of {path!r} in it")
    if not all(isinstance(digest, str) for digest in inputs.values()):
        raise ValueError("no digests of its inputs in it")
    if wrong := [path for path in outputs if not _is_result(path)] + [
        name for name in inputs if not name or "\0" in name
    ]:
        raise ValueError(f"{wrong[0]!r} is no file of a job")
    return made


def check(receipts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Check that all results come from one configuration, the present one.

    Each job must have run with its present parameters and have read the present files. Each result that it read must be an output of
    another of these jobs. By induction, the same then holds for all jobs before it.

    Args:
        receipts: the receipt of each job, and the job's hash under the present configuration.

    Returns:
        The digests of the job's outputs, by receipt.

    Raises:
        ReceiptError: a receipt is missing or of another configuration; an output has changed since its job wrote it; an input has
            changed since it was read, or is a result that none of these jobs wrote.
    """
    jobs = {receipt: _read_or_refuse(receipt) for receipt in receipts}
    outputs = {path: record["sha256"] for job in jobs.values() for path, record in job["outputs"].items()}
    external = dict[str, str]()
    for receipt, job in jobs.items():
        first, today = next(iter(job["outputs"])), receipts[receipt]
        if job["job_hash"] != today:
            raise ReceiptError(
                f"{first}: made by other settings or code ({job['job_hash']}) than the present ones ({today}); "
                "expected one configuration in a table; delete it and run again"
            )
        for path, record in job["outputs"].items():
            if not os.path.exists(path) or sha256(Path(path)) != record["sha256"]:
                raise ReceiptError(f"{path}: not as its job left it (see {receipt}); delete it and run again")
        for name, digest in job["inputs"].items():
            is_output = _is_result(name) and not name.startswith(
                "results/jobs/"
            )  # Snakemake's measurements are no outputs
            if is_output and name not in outputs:
                raise ReceiptError(
                    f"{first}: made of {name}, which no job of this configuration wrote; delete it and run again"
                )
            # Outputs are on disk as recorded, see above. Files outside of results/ must be the same in all receipts.
            if digest != (outputs[name] if is_output else external.setdefault(name, digest)):
                raise ReceiptError(
                    f"{first}: made of another {name} than is there now or others were made of; delete it and run again"
                )
    return {
        receipt: {path: record["sha256"] for path, record in job["outputs"].items()} for receipt, job in jobs.items()
    }


def _read_or_refuse(receipt: str) -> dict[str, Any]:
    try:
        return read(Path(receipt))
    except (OSError, ValueError) as error:
        raise ReceiptError(
            f"{receipt}: not readable ({error}); expected the record of its job; run snakemake again, which makes it anew"
        ) from None


def portable(value: Any) -> Any:
    """Settings without paths of this machine: an absolute path is reduced to its last part."""
    if isinstance(value, Mapping):
        return {str(key): portable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [portable(item) for item in value]
    if isinstance(value, str) and os.path.isabs(value):
        return Path(value).name
    return value


def revision(project: Path) -> dict[str, Any] | None:
    """The commit of the code, and whether files differ from it; ``None`` outside of a repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(project), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != project.resolve():
            return None  # the project is a folder of another repository
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def hardware() -> dict[str, Any]:
    """Processor, number of cores, and GPUs if the job imported torch."""
    torch = sys.modules.get("torch")
    count = torch.cuda.device_count() if torch is not None and torch.cuda.is_available() else 0
    gpus = [torch.cuda.get_device_name(i) for i in range(count)] if torch is not None else []
    return {"processor": _processor(), "cores": os.cpu_count(), "gpus": gpus}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _is_result(path: str) -> bool:
    """Whether a path is of a file in ``results/``."""
    parts = Path(path).parts
    return len(parts) > 1 and parts[0] == "results" and ".." not in parts and "\0" not in path


def _name(path: str) -> str:
    """The path of a result; for other files the last two parts of the path, because folders differ between machines."""
    parts = Path(path).parts
    return path if parts[0] == "results" else "/".join(parts[-2:])


def _files(path: Path) -> list[Path]:
    """The file, or all files of a folder without Snakemake's timestamp."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and file.name != ".snakemake_timestamp")


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))


def is_as_recorded(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether an output exists and has the recorded size and digest."""
    return os.path.exists(path) and _size(path) == record["bytes"] and sha256(path) == record["sha256"]
