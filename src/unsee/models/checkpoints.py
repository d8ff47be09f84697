"""Checks of a checkpoint folder before anything is loaded: JSON files, headers of safetensors files, chat template.

Planning runs these checks, so no torch is imported here. Loading compares names and shapes once more, with the model itself, and checks
that all values are finite (:func:`unsee.models.families.loading.load_weights`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unsee.core import hub
from unsee.core.failures import JobError
from unsee.models.chat_templates import TEMPLATE_FILES, template_problems
from unsee.models.families import FAMILIES, FamilyEntry
from unsee.models.weight_files import LFS_POINTER, stored_weights, weight_problems

#: How many problems an error lists.
SHOWN = 10


class CheckpointError(JobError):
    """A checkpoint cannot be used."""

    def __init__(self, folder: Path | str, problems: list[str]) -> None:
        super().__init__(
            f"the checkpoint {folder} cannot be used: {_joined(problems)}",
            "repair or download it again, or name another one in model.path",
        )


def findings(model: Mapping[str, Any], root: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """Problems of the configuration's base model that the files on this disk show, as (key, message).

    Args:
        model: the configuration's ``model`` section.
        root: the project folder, where relative paths start.
    """
    path, folder = model["path"], root / model["path"]
    if model["build"] or is_published(path, root):
        return
    if not os.path.isdir(folder):  # unlike Path.is_dir, also for a path that is not a valid one
        other = "" if Path(path).is_absolute() else f" (no folder {os.path.normpath(folder)})"
        yield (
            ("model", "path"),
            f"is {path!r}, which is not there{other}; expected a checkpoint folder, or the owner/name of a published checkpoint",
        )
    elif listed := problems(folder, model["family"]) or _name_problems(folder, model["family"]):
        yield ("model", "path"), f"is {path!r}, which cannot be used: {_joined(listed)}"


def _name_problems(folder: Path, family: str) -> list[str]:
    """Differences between the weights of a folder without :func:`problems` and those that its config.json describes."""
    layout = FAMILIES[family].layout
    return layout.problems(_read_json(folder / "config.json"), stored_weights(folder)) if layout else []


def is_published(path: str, root: Path) -> bool:
    """Whether ``model.path`` is the name of a published checkpoint: ``owner/name``, and no folder ``owner`` in the project.

    ``./owner/name`` is always a folder.
    """
    return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", path)) and not os.path.exists(root / path.split("/")[0])


def folder_of(spec: Mapping[str, Any], root: Path | None = None) -> Path:
    """The folder of a base model on this disk; the network is not used.

    Args:
        spec: the ``model`` section of the configuration: ``path``; for a published checkpoint also ``record``, the file that
            names the downloaded commit, or ``revision``.
        root: the folder that a relative ``path`` starts from; the working directory by default.

    Raises:
        FetchError: a published checkpoint is not on this machine.
    """
    if spec.get("record"):
        return hub.folder(Path(spec["record"]))
    path = Path(spec["path"])
    for folder in [path] if root is None else [root / path, path]:
        if folder.is_dir():
            return folder
    return hub.snapshot(spec["path"], spec.get("revision"))


def checkpoint_files(folder: Path) -> list[Path]:
    """The files of a checkpoint folder, sorted, without its model card."""
    return sorted(file for file in folder.iterdir() if file.is_file() and file.suffix != ".md")


def check(folder: Path, family: str) -> None:
    """Check that a folder has no :func:`problems`.

    Raises:
        CheckpointError: the folder has at least one.
    """
    if listed := problems(folder, family):
        raise CheckpointError(folder, listed)


def problems(folder: Path, family: str) -> list[str]:
    """All problems of a checkpoint folder, one sentence each.

    Args:
        folder: should have ``config.json``, safetensors files, tokenizer, processor and chat template.
        family: a key of :data:`unsee.models.families.FAMILIES`.
    """
    lines: list[str] = []
    contents: dict[str, dict[str, Any]] = {}
    for name in _JSON:
        try:
            contents[name] = _read_json(folder / name)
        except FileNotFoundError:
            continue
        except ValueError as error:
            lines.append(f"{name} {error}")
        except OSError as error:
            lines.append(f"{name} cannot be read ({error.strerror})")
    lines += _config_problems(contents.get("config.json"), (folder / "config.json").exists(), FAMILIES[family])
    lines += weight_problems(folder, contents)
    lines += _tokenizer_problems(folder)
    described = "preprocessor_config.json" in contents or "image_processor" in contents.get("processor_config.json", {})
    if not described and not _broken(folder, contents, _PROCESSORS):
        lines.append(f"has no picture processor; expected {' or '.join(_PROCESSORS)}")
    if not _broken(folder, contents, TEMPLATE_FILES):
        lines += template_problems(folder, contents, FAMILIES[family])
    return lines


def _joined(problems: list[str]) -> str:
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return "; ".join(problems[:SHOWN]) + more


#: The files that transformers reads. Others, such as training logs, are not checked.
_JSON = (
    "added_tokens.json",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
_PROCESSORS = ("processor_config.json", "preprocessor_config.json")


def _broken(folder: Path, contents: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    """Whether one of these files is present and unreadable, which is reported already."""
    return any((folder / name).exists() and name not in contents for name in names)


def _read_json(file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    if data.startswith(LFS_POINTER):
        raise ValueError("is a Git LFS pointer and not the file itself; run git lfs pull")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError("is no JSON object; expected one")
    return content


def _config_problems(config: dict[str, Any] | None, is_there: bool, expected: FamilyEntry) -> Iterator[str]:
    if config is None:
        if not is_there:
            yield "has no config.json"
        return
    kind = config.get("model_type")
    if kind != expected.model_type:
        families = [name for name, other in FAMILIES.items() if other.model_type == kind]
        shown = "has no model_type" if kind is None else f"has the model_type {kind!r}"
        remedy = f"; set model.family: {' or '.join(families)}" if families else ""
        yield f"config.json {shown}; expected {expected.model_type!r}{remedy}"
    if "quantization_config" in config:
        yield "config.json has a quantization_config; expected weights that are not quantised"


def _tokenizer_problems(folder: Path) -> Iterator[str]:
    names = {file.name for file in folder.iterdir()}
    if not names & {"tokenizer.json", "tokenizer.model"} and not {"vocab.json", "merges.txt"} <= names:
        yield "has no tokenizer; expected tokenizer.json (or tokenizer.model, or vocab.json and merges.txt)"
