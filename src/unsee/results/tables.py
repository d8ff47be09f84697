"""The table that the papers of this field print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from unsee.benchmarks.schema import SETS

#: (task, metric) of a column, and the column's name.
_COLUMNS = {
    ("classification", "accuracy"): "classification",
    ("generation", "rouge_l"): "rouge_l",
    ("cloze", "accuracy"): "cloze",
}
_NOTE = (
    "Accuracies in percent (classification: 25 is chance with four options), ROUGE-L 0 to 1; means over seeds. `forget` and `test` "
    "ask about the forgotten people (`test` in another picture and other words): lower is better, down to the `retain` "
    "row, a model that never met them. `retain` and `celebrity` ask about everyone else: higher is better. 95 % intervals, "
    "clustered by person, are in scores.csv.\n"
)


def table3(scores: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """One row a model, ratio, modality and method; columns ``{set}_{classification,rouge_l,cloze}``.

    Args:
        scores: as :func:`unsee.results.scores.collect` gives them.
        methods: in the order of the rows, after ``vanilla`` and ``retain``.
    """
    kinds = pd.Series(list(zip(scores["task"], scores["metric"], strict=True)), index=scores.index).map(_COLUMNS)
    chosen = scores[kinds.notna()].assign(column=scores["set"] + "_" + kinds)
    keys = ["model", "forget_percent", "modality", "method"]
    table = chosen.pivot_table(index=keys, columns="column", values="value", aggfunc="mean").reset_index()
    order = {name: i for i, name in enumerate(["vanilla", "retain", *methods])}
    table = table.sort_values(keys, key=lambda c: c.map(order) if c.name == "method" else c)
    columns = [f"{name}_{kind}" for name in SETS for kind in _COLUMNS.values()]
    return table.reindex(columns=[*keys, *columns]).reset_index(drop=True)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table; equal numbers give equal bytes."""
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def to_markdown(table: pd.DataFrame) -> str:
    """The table to read, under a note on how."""
    formats = [".3f" if name.endswith("rouge_l") else ".1f" for name in table.columns]
    return f"{_NOTE}\n{table.to_markdown(index=False, floatfmt=tuple(formats))}\n"
