"""Write files and folders atomically.

Every output is written under a temporary name in the same folder and renamed when it is complete, so that a killed job or a full
disk leaves nothing that looks finished.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: A disk with fewer free bytes counts as full.
_NO_ROOM = 100_000


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary name for a file or folder, and rename it to ``path`` when the block ends, replacing an existing one.

    If the block raises, the temporary file is deleted and ``path`` is unchanged.

    Raises:
        OSError: the block raised and the disk is full.
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
        if full and isinstance(error, Exception):  # a library's own error may not mention the disk
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for {path} ({error})") from error
        raise


def follow_umask(file: Path) -> None:
    """Set the mode of an ordinary new file: safetensors and tempfile create files that only the owner can read."""
    os.umask(mask := os.umask(0))
    file.chmod(0o666 & ~mask)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def write_checksummed(path: Path) -> Iterator[Path]:
    """As :func:`atomic_write`, but ``name.suffix`` becomes ``name-{sha256}.suffix``, so that :func:`is_intact` detects damage."""
    with atomic_write(path) as part:
        yield part
    os.replace(path, path.with_stem(f"{path.stem}-{sha256(path)}"))


def is_intact(path: Path) -> bool:
    """Whether the content of a file matches the checksum in its name."""
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
        pass  # a process of another user
    return True


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
