"""Checkpoints of a training run: all that its next step depends on, so that a killed run ends as if it had not been killed.

What a method prepares before the loop (masks, vacuum spaces) is not kept: it is the same when it is made again. Where a job has
several processes each keeps its own, at the same steps.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import nn

from unsee.core.files import is_intact, write_checksummed
from unsee.core.resume import CheckpointDir

if TYPE_CHECKING:
    from unsee.training.loop import Progress

log = logging.getLogger(__name__)

#: How many are kept: the last, and the one before it in case the last is damaged.
KEPT = 2


class Checkpoints:
    """The checkpoints of one run.

    Args:
        place: where they lie, and how often one is written; ``None``: none is.
        weights: what is trained, by name.
        optimizer, scheduler: of the run.
        progress: of the run; filled when it is resumed.
    """

    def __init__(
        self,
        place: CheckpointDir | None,
        weights: Mapping[str, nn.Parameter],
        optimizer: Any,
        scheduler: Any,
        progress: Progress,
    ) -> None:
        self._place = place
        self._weights, self._optimizer, self._scheduler, self._progress = weights, optimizer, scheduler, progress
        self._saved_at, self._saved_step = time.monotonic(), 0

    def resume(self) -> int:
        """Put everything back as the last whole checkpoint has it.

        Returns:
            How many steps are done; 0 without a checkpoint.
        """
        if self._place is None:
            return 0
        path = self._last_whole(self._place)
        if path is None:
            return 0
        # To the CPU: generators' states belong there, and the rest is copied to where its like is.
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
        log.info("going on from checkpoint %s", path)
        return self._saved_step

    def _last_whole(self, place: CheckpointDir) -> Path | None:
        """The last checkpoint of this process that is whole, as all processes' of that step are."""
        found: dict[str, Path] = {}
        for path in self._own(place):
            if is_intact(path):
                found[path.name.split(".")[0]] = path
            else:
                log.warning("checkpoint %s is damaged; going on from the one before, or from the start", path)
                path.unlink()
        steps = set(found)
        if dist.is_initialized():
            every: list[set[str]] = [steps] * dist.get_world_size()
            dist.all_gather_object(every, steps)
            steps = set.intersection(*every)
        return found[max(steps)] if steps else None

    def _own(self, place: CheckpointDir) -> list[Path]:
        return sorted(place.folder.glob(f"*.{_rank()}-*.pt"))

    def step_done(self) -> None:
        """Write a checkpoint when one is due."""
        if self._place is None or not self._due(self._place):
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
        with write_checksummed(self._place.folder / f"{self._saved_step:09d}.{_rank()}.pt") as part:
            torch.save(state, part)
        for old in self._own(self._place)[:-KEPT]:
            old.unlink()
        self._saved_at = time.monotonic()

    def _due(self, place: CheckpointDir) -> bool:
        minutes = (time.monotonic() - self._saved_at) / 60
        steps = self._progress.counters.steps - self._saved_step
        due = [
            (place.minutes is not None and minutes >= place.minutes)
            or (place.steps is not None and steps >= place.steps)
        ]
        if dist.is_initialized():  # all or none, and clocks differ
            dist.broadcast_object_list(due, src=0)
        return due[0]


def _rank() -> int:
    """The number of this process among those of its job."""
    return dist.get_rank() if dist.is_initialized() else 0
