"""What each run cost: Snakemake's benchmark files and the loop's own counters, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

LABELS = ("model", "forget_percent", "method", "seed")
COUNTERS = ("steps", "examples_seen", "forward_passes", "backward_passes", "adapter_bytes")
COLUMNS = [*LABELS, "stage", "seconds", "peak_memory_mb", *COUNTERS]


def collect(runs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """costs.csv: one row a job.

    ``seconds`` is wall-clock time and ``peak_memory_mb`` the most memory held, as Snakemake measured them (over
    repeats: the mean and the most). A counter that the manifest does not have is missing, not 0; so is the memory
    of a job too short to be measured.

    Args:
        runs: of each job ``model``, ``forget_percent``, ``method``, ``seed``; ``benchmark``, the path of
            Snakemake's measurement; ``manifest``, the path of the run's, or None; and, if it is not what made the
            adapter (``finetune`` or ``unlearn``), its ``stage``.

    Raises:
        ValueError: a file that is not what it should be.
        FileNotFoundError: a file that is not there.
    """
    rows = [
        {**{key: run[key] for key in LABELS}, "stage": _stage(run), **_measured(run), **_counters(run)} for run in runs
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({name: "Int64" for name in COUNTERS})


def _stage(run: Mapping[str, Any]) -> str:
    return str(run.get("stage") or ("finetune" if run["method"] in ("vanilla", "retain") else "unlearn"))


def _measured(run: Mapping[str, Any]) -> dict[str, float]:
    path = Path(run["benchmark"])
    table = pd.read_csv(path, sep="\t", na_values=["-"])
    absent = [name for name in ("s", "max_rss") if name not in table]
    if absent or table.empty:
        raise ValueError(
            f"{path}: {len(table)} rows of {list(table.columns)}; expected a row with s and max_rss, as Snakemake "
            "measures a job; delete the file and run the job again"
        )
    return {"seconds": float(table["s"].mean()), "peak_memory_mb": float(table["max_rss"].max())}


def _counters(run: Mapping[str, Any]) -> dict[str, int | None]:
    if run.get("manifest") is None:
        return dict.fromkeys(COUNTERS)
    path = Path(run["manifest"])
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not readable as JSON ({error}); delete the run's adapter and run again") from error
    return {name: manifest.get(name) for name in COUNTERS}
