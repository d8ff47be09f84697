"""Checkpoints of a training run: everything its next step depends on, so that a killed run ends with the same bytes.

What a method prepares before the loop (masks, vacuum spaces) is not stored: computing it again gives the same. In a job
of several processes each stores its own checkpoints, at the same steps.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from unsee.core.files import is_intact, write_checksummed
from unsee.core.resume import CheckpointDir
from unsee.training.progress import Progress

log = logging.getLogger(__name__)

#: Checkpoints kept: the last, and the one before it in case the last is damaged.
KEPT = 2


class Checkpoints:
    """The checkpoints of one run.

    Args:
        directory: Where they are written, and how often; ``None``: never.
        weights: The trained weights by name.
        optimizer: The optimizer of the run.
        scheduler: The learning-rate scheduler of the run.
        progress: The record of the run; :meth:`resume` fills it.
    """

    def __init__(
        self,
        directory: CheckpointDir | None,
        weights: Mapping[str, nn.Parameter],
        optimizer: Any,
        scheduler: Any,
        progress: Progress,
    ) -> None:
        self._directory = directory
        self._weights, self._optimizer, self._scheduler, self._progress = weights, optimizer, scheduler, progress
        self._saved_at, self._saved_step = time.monotonic(), 0

    def resume(self) -> int:
        """Restore everything from the last intact checkpoint.

        Returns:
            The number of steps done; 0 without a checkpoint.
        """
        if self._directory is None:
            return 0
        path = self._last_intact(self._directory)
        if path is None:
            return 0
        # To the CPU: generator states must be there, and everything else is copied to its tensor's device.
        state = torch.load(path, map_location="cpu", weights_only=True)
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(state["weights"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        self._progress.rows[:] = state["rows"]
        for name, value in state["counters"].items():
            setattr(self._progress.counters, name, value)
        torch.set_rng_state(state["random"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random_cuda"])
        self._saved_step = self._progress.counters.steps
        log.info("continuing from checkpoint %s", path)
        return self._saved_step

    def _last_intact(self, directory: CheckpointDir) -> Path | None:
        """The checkpoint of this process at the last step at which the checkpoints of all processes are intact."""
        by_step: dict[str, Path] = {}
        for path in self._of_this_process(directory):
            if is_intact(path):
                by_step[path.name.split(".")[0]] = path
            else:
                log.warning("checkpoint %s is damaged; continuing from the one before, or from the start", path)
                path.unlink()
        steps = set(by_step)
        if dist.is_initialized():
            steps_of_processes: list[set[str]] = [steps] * dist.get_world_size()
            dist.all_gather_object(steps_of_processes, steps)
            steps = set.intersection(*steps_of_processes)
        return by_step[max(steps)] if steps else None

    def _of_this_process(self, directory: CheckpointDir) -> list[Path]:
        return sorted(directory.folder.glob(f"*.{_rank()}-*.pt"))

    def step_done(self) -> None:
        """Write a checkpoint when one is due."""
        if self._directory is None or not self._due(self._directory):
            return
        self._saved_step = self._progress.counters.steps
        state = {
            "weights": {name: weight.detach() for name, weight in self._weights.items()},
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "rows": self._progress.rows,
            "counters": asdict(self._progress.counters),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        with write_checksummed(self._directory.folder / f"{self._saved_step:09d}.{_rank()}.pt") as part:
            torch.save(state, part)
        for old in self._of_this_process(self._directory)[:-KEPT]:
            old.unlink()
        self._saved_at = time.monotonic()

    def _due(self, directory: CheckpointDir) -> bool:
        minutes = (time.monotonic() - self._saved_at) / 60
        steps = self._progress.counters.steps - self._saved_step
        due = [
            (directory.minutes is not None and minutes >= directory.minutes)
            or (directory.steps is not None and steps >= directory.steps)
        ]
        if dist.is_initialized():  # the clocks of processes differ: the first decides for all
            dist.broadcast_object_list(due, src=0)
        return due[0]


def _rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0
