"""Where an unfinished job keeps what it has done, so that the next start of it goes on from there.

A job has a folder of its own, under the digest of everything that decides its result: what was kept under other settings is deleted,
never continued. The folder is locked while the job runs, for a job may outlive the Snakemake that started it and meet its successor.
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from unsee.core import locks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointDir:
    """The place of a job's unfinished work.

    Attributes:
        folder: where it lies; may not be there yet.
        minutes, steps: of training, between two checkpoints, whichever comes first; ``None``: as many as it takes.
    """

    folder: Path
    minutes: float | None = None
    steps: int | None = None

    def clear(self) -> None:
        """The job is done: nothing of it is kept. Each of its processes may say so."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)


def acquire(parent: Path, job: str, key: str, *, minutes: float | None, steps: int | None) -> CheckpointDir:
    """Take the place of a job; waits while an earlier start of the same job is still at it.

    Args:
        parent: folder of all jobs' places.
        job: a name for the job, the same for every start.
        key: digest of everything that decides its result.
        minutes, steps: see :class:`CheckpointDir`.
    """
    place = parent / job.replace(os.sep, ".")
    locks.hold(place / "lock", wait=True)
    for other in place.iterdir():
        if other.is_dir() and other.name != key:
            log.info("%s: kept under other settings, code or input; deleted", other)
            shutil.rmtree(other)
    return CheckpointDir(place / key, minutes, steps)
