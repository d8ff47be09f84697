"""The costs (costs.csv): time and memory of each training job, from Snakemake's benchmark files, and its counters, from its manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from unsee.results.columns import REFERENCES, RUN

COUNTERS = ("steps", "examples_seen", "forward_passes", "backward_passes", "adapter_bytes")
COLUMNS = [*RUN, "stage", "seconds", "peak_memory_mb", *COUNTERS]


@dataclass(frozen=True)
class TrainedRun:
    """One model of the table and what its training left behind.

    Attributes:
        model, forget_percent, method, seed: as in the tables.
        measurement: Snakemake's benchmark file of the job; None for the base model, which was not trained here.
        manifest: the run's manifest.json; None for the base model.
    """

    model: str
    forget_percent: int
    method: str
    seed: int
    measurement: Path | None = None
    manifest: Path | None = None


def collect(runs: Sequence[TrainedRun]) -> pd.DataFrame:
    """The rows of costs.csv.

    Returns:
        One row for each run, with :data:`COLUMNS`: ``stage`` is ``finetune`` or ``unlearn``; ``seconds`` of wall-clock time and
        ``peak_memory_mb`` are Snakemake's (with repeats the mean of the times and the largest memory). A counter that the manifest
        does not have is missing, not 0; so is the memory of a job that was too short to be measured, and everything of the base
        model.

    Raises:
        ValueError: a file does not have the expected content.
        FileNotFoundError: a file is missing.
    """
    rows = [
        {"model": run.model, "forget_percent": run.forget_percent, "method": run.method, "seed": run.seed}
        | (_measurement(run.measurement, run.method) if run.measurement else {})
        | (_counters(run.manifest) if run.manifest else {})
        for run in runs
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({name: "Int64" for name in COUNTERS})


def _measurement(path: Path, method: str) -> dict[str, str | float]:
    table = pd.read_csv(path, sep="\t", na_values=["-"])
    absent = [name for name in ("s", "max_rss") if name not in table]
    if absent or table.empty:
        raise ValueError(
            f"{path}: {len(table)} rows of {list(table.columns)}; expected a row with s and max_rss, as Snakemake "
            "measures a job; delete the file and run the job again"
        )
    stage = "finetune" if method in REFERENCES else "unlearn"
    return {"stage": stage, "seconds": float(table["s"].mean()), "peak_memory_mb": float(table["max_rss"].max())}


def _counters(path: Path) -> dict[str, int | float | None]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not readable as JSON ({error}); delete the run's adapter and run again") from error
    # A model that was taken from the shared models cost what its training cost, not what the copy did.
    shared = {name: manifest["shared"][name] for name in ("seconds", "peak_memory_mb")} if "shared" in manifest else {}
    return {name: manifest.get(name) for name in COUNTERS} | shared
