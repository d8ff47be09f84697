"""File locks that the system releases when the process that holds them ends."""

from __future__ import annotations

import logging
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

#: A lock is released when its object is deleted, so these are kept until the process ends.
_HELD: list[FileLock] = []


def hold(path: Path, *, wait: bool) -> None:
    """Lock a file until this process ends, however it ends.

    On a file system without locks nothing is locked, and the log says so.

    Args:
        path: the file; it is created if it does not exist.
        wait: whether to wait until another process releases the lock.

    Raises:
        BlockingIOError: another process holds the lock, and ``wait`` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without flock, filelock would fall back to a file that outlives a killed process.
    lock = FileLock(path, fallback_to_soft=False)
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if not wait:
                raise BlockingIOError(f"{path}: locked by another process") from None
            log.info("waiting: an earlier start of this job is still running")
            lock.acquire()
    except BlockingIOError:
        raise
    except OSError as error:
        log.info("%s: this file system has no locks (%s); make sure that no two runs share this folder", path, error)
        return
    _HELD.append(lock)
