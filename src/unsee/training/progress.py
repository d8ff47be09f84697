"""The record of a training run: what happened in each step, and what the run cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from unsee.core.files import atomic_write

#: One row per step; a run that does not train has none.
STEPS = pa.schema(
    [
        ("step", pa.int64()),
        ("epoch", pa.int64()),
        ("loss", pa.float64()),
        ("gradient_norm", pa.float64()),
        ("learning_rate", pa.float64()),
    ]
)


@dataclass
class Counters:
    """What a run cost, besides time."""

    steps: int = 0
    examples_seen: int = 0
    forward_passes: int = 0
    backward_passes: int = 0

    def add_passes(self, other: Counters) -> None:
        """Count the passes that another counter counted."""
        self.forward_passes += other.forward_passes
        self.backward_passes += other.backward_passes


@dataclass
class Progress:
    """One row per step, and the counters."""

    rows: list[dict[str, float]] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)

    def add_step(self, *, n_examples: int, epoch: int, loss: float, gradient_norm: float, learning_rate: float) -> None:
        """Record a finished step."""
        self.counters.steps += 1
        self.counters.examples_seen += n_examples
        self.rows.append(
            {
                "step": self.counters.steps,
                "epoch": epoch,
                "loss": loss,
                "gradient_norm": gradient_norm,
                "learning_rate": learning_rate,
            }
        )

    def write(self, path: Path) -> None:
        """Write the rows as Parquet: ``step``, ``epoch``, ``loss``, ``gradient_norm``, ``learning_rate``."""
        with atomic_write(path) as part:
            pq.write_table(pa.Table.from_pylist(self.rows, STEPS), part)
