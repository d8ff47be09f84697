"""The folder in which an unfinished job keeps its checkpoints, so that its next start resumes from them.

The folder is named by a digest of everything that decides the job's result: checkpoints of other settings are deleted, never resumed.
It is locked while the job runs, because a job may outlive the Snakemake that started it and be started again by the next one.
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
    """The folder of a job's checkpoints.

    Attributes:
        folder: the folder; it may not exist yet.
        minutes, steps: the training time and the steps between two checkpoints, whichever comes first; ``None``: no limit.
    """

    folder: Path
    minutes: float | None = None
    steps: int | None = None

    def clear(self) -> None:
        """Delete the folder when the job is done. Each of the job's processes may call it."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)


def acquire(parent: Path, job: str, key: str, *, minutes: float | None, steps: int | None) -> CheckpointDir:
    """Lock the folder of a job; waits until an earlier start of the same job has ended.

    Args:
        parent: the folder that holds those of all jobs.
        job: the job's name, the same for every start.
        key: a digest of everything that decides its result.
        minutes, steps: see :class:`CheckpointDir`.
    """
    folder = parent / job.replace(os.sep, ".")
    locks.hold(folder / "lock", wait=True)
    for other in folder.iterdir():
        if other.is_dir() and other.name != key:
            log.info("%s: of other settings, code or input; deleted", other)
            shutil.rmtree(other)
    return CheckpointDir(folder / key, minutes, steps)
