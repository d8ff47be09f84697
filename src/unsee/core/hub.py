"""Download published data sets and checkpoints, at a pinned revision, into the Hugging Face cache of this machine.

The cache resumes interrupted downloads and is shared by all runs. A run itself keeps only a small record of the files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from unsee.core.files import write_text

#: The files of a checkpoint: weights as safetensors, and no file that would be executed or unpickled.
CHECKPOINT = ("*.json", "*.jinja", "*.model", "*.txt", "*.safetensors")

Kind = Literal["dataset", "model"]


class FetchError(RuntimeError):
    """A download failed, or its files are missing; the message says where to put them by hand."""


def fetch(
    repository: str, revision: str | None, *, kind: Kind, patterns: Sequence[str], key: str, output: Path
) -> None:
    """Download the matching files of a repository, and record them in ``output``.

    Args:
        repository: ``owner/name``.
        revision: a commit; the newest one by default.
        kind: ``dataset`` or ``model``.
        patterns: glob patterns of the files; each must match at least one file.
        key: the configuration key that can name a folder with these files instead.
        output: the record, a JSON file.

    Raises:
        FetchError: the hub cannot be reached, or does not have the files.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        folder = Path(snapshot_download(repository, repo_type=kind, revision=revision, allow_patterns=list(patterns)))
    except (OSError, HfHubHTTPError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FetchError(_help(repository, revision, kind, patterns, key, reason)) from error
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    missing = [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in files)]
    # A checkpoint must have weights; its small files differ. A data set must have every folder: without network,
    # snapshot_download returns an incomplete snapshot.
    if kind == "model":
        missing = [pattern for pattern in missing if pattern == "*.safetensors"]
    if missing or not files:
        raise FetchError(_help(repository, revision, kind, patterns, key, f"no {', '.join(missing)} there"))
    selected = {name: size for name, size in sorted(files.items()) if any(fnmatch(name, p) for p in patterns)}
    record = {"kind": kind, "repository": repository, "revision": folder.name, "files": selected}
    write_text(output, json.dumps(record, indent=2) + "\n")


def folder(record: Path) -> Path:
    """The folder of a record's files on this machine; the network is not used.

    Raises:
        FetchError: a file is missing, or has another size than when it was downloaded.
    """
    recorded: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    again = "delete the record and run again"
    try:
        folder = _local_snapshot(recorded["repository"], recorded["revision"], recorded["kind"])
    except OSError as error:
        raise FetchError(f"{record}: {recorded['repository']} is not in the cache any more; {again}") from error
    missing = [name for name in recorded["files"] if not (folder / name).is_file()]
    if missing:
        raise FetchError(f"{record}: the cache has no {missing[0]} any more ({len(missing)} such); {again}")
    for name, size in recorded["files"].items():
        if (folder / name).stat().st_size != size:
            raise FetchError(
                f"{record}: {folder / name} has {(folder / name).stat().st_size} bytes; expected {size}, as it was fetched; delete "
                "both and run again"
            )
    return folder


def snapshot(repository: str, revision: str | None) -> Path:
    """The folder of a published checkpoint that has been downloaded to this machine; the network is not used.

    Args:
        repository: ``owner/name``.
        revision: a commit or branch; by default the newest one that was downloaded.

    Raises:
        FetchError: it has not been downloaded.
    """
    try:
        return _local_snapshot(repository, revision, "model")
    except OSError as error:
        at = f" at revision {revision}" if revision else ""
        raise FetchError(
            f"the model {repository}{at} is neither a folder nor in this machine's cache of the hub; expected a checkpoint "
            "folder, or a published checkpoint that was fetched"
        ) from error


def _local_snapshot(repository: str, revision: str | None, kind: str) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repository, repo_type=kind, revision=revision, local_files_only=True))


def _help(repository: str, revision: str | None, kind: Kind, patterns: Sequence[str], key: str, reason: str) -> str:
    what = {"dataset": "data set", "model": "model"}[kind]
    at = f" at revision {revision}" if revision else ""
    return (
        f"the {what} {repository}{at} cannot be fetched ({reason}); where the hub cannot be reached, put its files "
        f"{', '.join(patterns)} into a folder and name that folder in {key}"
    )
