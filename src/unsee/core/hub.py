"""Published data sets and checkpoints: fetched once, at a pinned revision, into the Hugging Face cache of this machine.

The cache resumes what broke off and is shared by all runs; what a run keeps is a small record of what it was given.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from unsee.core.files import write_text

#: Of a checkpoint: weights as safetensors and nothing that would be run or unpickled.
CHECKPOINT = ("*.json", "*.jinja", "*.model", "*.txt", "*.safetensors")

Kind = Literal["dataset", "model"]


class FetchError(RuntimeError):
    """Something published could not be had; the message says which files to put where instead."""


def fetch(
    repository: str, revision: str | None, *, kind: Kind, patterns: Sequence[str], key: str, output: Path
) -> None:
    """Fetch the files of a repository that match, and record them in ``output``.

    Args:
        repository: ``owner/name``.
        revision: a commit; the newest by default.
        kind: what it is.
        patterns: of the files wanted; each must match some.
        key: of the configuration, that can name a folder with these files instead.
        output: the record, JSON.

    Raises:
        FetchError: the hub cannot be reached, or has no such files.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        folder = Path(snapshot_download(repository, repo_type=kind, revision=revision, allow_patterns=list(patterns)))
    except (OSError, HfHubHTTPError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FetchError(_help(repository, revision, kind, patterns, key, reason)) from error
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    lacking = [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in files)]
    # A checkpoint has some of the small files, and weights; a data set must have every folder (offline, half a snapshot is
    # given out).
    if kind == "model":
        lacking = [pattern for pattern in lacking if pattern == "*.safetensors"]
    if lacking or not files:
        raise FetchError(_help(repository, revision, kind, patterns, key, f"no {', '.join(lacking)} there"))
    chosen = {name: size for name, size in sorted(files.items()) if any(fnmatch(name, p) for p in patterns)}
    record = {"kind": kind, "repository": repository, "revision": folder.name, "files": chosen}
    write_text(output, json.dumps(record, indent=2) + "\n")


def folder(record: Path) -> Path:
    """Where the files of a record lie on this machine; no network is tried.

    Raises:
        FetchError: they do not any more, or one has another size than when it was fetched.
    """
    known: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    again = "delete the record and run again"
    try:
        found = _local_snapshot(known["repository"], known["revision"], known["kind"])
    except OSError as error:
        raise FetchError(f"{record}: {known['repository']} is not in the cache any more; {again}") from error
    missing = [name for name in known["files"] if not (found / name).is_file()]
    if missing:
        raise FetchError(f"{record}: the cache has no {missing[0]} any more ({len(missing)} such); {again}")
    for name, size in known["files"].items():
        if (found / name).stat().st_size != size:
            raise FetchError(
                f"{record}: {found / name} has {(found / name).stat().st_size} bytes; expected {size}, as it was fetched; delete "
                "both and run again"
            )
    return found


def snapshot(repository: str, revision: str | None) -> Path:
    """The folder of a published checkpoint that has been downloaded to this machine; no network is tried.

    Args:
        repository: ``owner/name``.
        revision: a commit or branch; the newest that was downloaded by default.

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
