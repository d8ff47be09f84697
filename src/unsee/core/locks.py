"""Who works here: a lock that the system takes away from a process that dies, and that another can wait for."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def hold(path: Path, *, wait: bool) -> int | None:
    """Take the lock of a file for as long as this process lives, or until its descriptor is closed.

    Where the file system knows no such locks there is nothing to hold, and nobody is kept waiting.

    Args:
        path: the file; it is made if need be.
        wait: until whoever holds the lock is gone; otherwise that is an error.

    Returns:
        The descriptor, or ``None`` where there are no locks.

    Raises:
        BlockingIOError: somebody else holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                os.close(held)
                raise
            log.info("waiting: an earlier start of this job is still at work on it")
            fcntl.flock(held, fcntl.LOCK_EX)
        except OSError as error:
            log.info("%s: no locks here (%s); see to it that no two runs share this folder", path, error)
            os.close(held)
            return None
        # Whoever held it may have deleted it at the end: then another file of this name is the lock.
        if path.exists() and os.path.samestat(os.fstat(held), path.stat()):
            return held
        os.close(held)
