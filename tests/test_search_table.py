"""The search's rule, on a table made by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd


def test_the_most_selective_rate_is_chosen() -> None:
    spec = importlib.util.spec_from_file_location(
        "search_table", Path(__file__).parents[1] / "tools" / "search_table.py"
    )
    assert spec and spec.loader
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    rows = {
        "vanilla": (100, 90, 100, 90),
        "retain": (30, 90, 30, 90),
        "low": (90, 90, 80, 90),  # falls by 15 at no cost
        "high": (40, 60, 40, 60),  # falls by 60, at the cost of 30
        "far": (0, 50, 0, 50),  # falls by 70 only: below the retain-only model nothing is gained
    }
    table = pd.DataFrame(
        [
            {"method": m, "modality": modality, "forget_classification": r[i], "retain_classification": r[i + 1]}
            for m, r in rows.items()
            for modality, i in (("image", 0), ("text", 2))
        ]
    )
    entries = {
        "ga": False,
        **{name: {"method": "ga", "learning_rate": i} for i, name in enumerate(["low", "high", "far"])},
    }
    found = tool.search_table(entries, table)
    assert found["selectivity"].tolist() == [15, 30, 30]
    assert found["chosen"].tolist() == [False, True, False], "of equals the first"
