"""What each run cost: Snakemake's benchmark files and the loop's own counters, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

COUNTERS = ("steps", "examples_seen", "forward_passes", "backward_passes", "adapter_bytes")


def collect(runs: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row a run.

    Args:
        runs: ``model``, ``forget_percent``, ``method``, ``seed`` of each, and the paths ``benchmark`` (Snakemake's, of the
            training job) and ``manifest``.
    """
    rows = []
    for run in runs:
        measured = pd.read_csv(Path(run["benchmark"]), sep="\t").iloc[0]
        manifest = json.loads(Path(run["manifest"]).read_text())
        rows.append(
            {
                **{key: run[key] for key in ("model", "forget_percent", "method", "seed")},
                "seconds": measured["s"],
                "peak_memory_mb": measured["max_rss"],
                **{key: manifest[key] for key in COUNTERS},
            }
        )
    return pd.DataFrame(rows)
