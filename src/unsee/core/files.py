"""Files that are whole or not there at all.

Everything that a job leaves is written under another name beside its own and renamed when it is complete: a job that is killed, or
a disk that is full, leaves nothing that looks finished.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Bytes; a disk with fewer left is full.
_NO_ROOM = 100_000


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """The name to write a file or folder to that becomes ``path``, in place of what is there, when the block ends.

    When the block raises, what it wrote is deleted and ``path`` stays as it was.

    Raises:
        OSError: the block has raised, and the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*.part"):
        if not _runs(int(left.name.split(".")[-2])):
            _delete(left)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        for file in [part] if part.is_file() else [file for file in part.rglob("*") if file.is_file()]:
            follow_umask(file)
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(part, path)
    except BaseException as error:
        full = shutil.disk_usage(path.parent).free < _NO_ROOM
        _delete(part)
        if full and isinstance(error, Exception):  # in a library's words that may be anything
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for {path} ({error})") from error
        raise


def follow_umask(file: Path) -> None:
    """Give a file the rights of a new one: safetensors and tempfile leave theirs to the owner alone."""
    os.umask(mask := os.umask(0))
    file.chmod(0o666 & ~mask)


def write_text(path: Path, text: str) -> None:
    """Write a text, whole."""
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def write_checksummed(path: Path) -> Iterator[Path]:
    """As :func:`atomic_write`, but ``name.suffix`` becomes ``name-{sha256}.suffix``, by which damage is known (:func:`is_intact`)."""
    with atomic_write(path) as part:
        yield part
    os.replace(path, path.with_stem(f"{path.stem}-{sha256(path)}"))


def is_intact(path: Path) -> bool:
    """Whether a sealed file is what its name says."""
    return path.stem.endswith(f"-{sha256(path)}")


def sha256(path: Path) -> str:
    """The digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
