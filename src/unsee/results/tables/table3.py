"""The table that the papers of this field print."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from unsee.benchmarks.schema import SETS

#: (task, metric) of a column, and the column's name.
_COLUMNS = {
    ("classification", "accuracy"): "classification",
    ("generation", "rouge_l"): "rouge_l",
    ("cloze", "accuracy"): "cloze",
}
_KEYS = ["model", "forget_percent", "modality", "method"]
_NOTE = """\
Accuracies in percent (classification: 25 is chance with four options), ROUGE-L 0 to 1; means over seeds.
`forget` and `test` ask about the forgotten people (`test` in another picture and other words): lower is better,
down to the `retain` row, a model that never met them. `retain` and `celebrity` ask about everyone else: higher is
better. 95 % intervals, clustered by person, are in scores.csv.
"""


def table3(scores: pd.DataFrame, methods: Sequence[str] | None = None) -> pd.DataFrame:
    """One row a model, ratio, modality and method; columns ``{set}_{classification,rouge_l,cloze}``.

    Accuracies in percent, ROUGE-L 0 to 1, each the mean over seeds; NaN where nothing was asked.

    Args:
        scores: as :func:`unsee.results.tables.scores.collect` gives them.
        methods: in the order of the rows, after ``vanilla`` and ``retain``; others, and all if not given, stand
            behind in the order of ``scores``.

    Raises:
        ValueError: a score twice for one run, which a mean would hide.
    """
    kinds = pd.DataFrame([(*key, kind) for key, kind in _COLUMNS.items()], columns=["task", "metric", "kind"])
    chosen = scores.merge(kinds, on=["task", "metric"])
    repeated = chosen[chosen.duplicated([*_KEYS, "seed", "set", "kind"])]
    if len(repeated):
        row = repeated.iloc[0]
        raise ValueError(
            f"scores: {row['model']}, {row['forget_percent']} %, {row['method']}, seed {row['seed']} has two values "
            f"of {row['set']}, {row['modality']}, {row['kind']} ({len(repeated)} such); expected one, make "
            "scores.csv again"
        )
    table = chosen.assign(column=chosen["set"] + "_" + chosen["kind"]).pivot_table(
        index=_KEYS, columns="column", values="value", aggfunc="mean"
    )
    order = {
        "method": _ranks(["vanilla", "retain", *(methods or []), *scores["method"]]),
        "model": _ranks(scores["model"]),
    }
    table = table.reset_index().sort_values(
        _KEYS, key=lambda column: column.map(order[column.name]) if column.name in order else column
    )
    columns = [f"{name}_{kind}" for name in SETS for kind in _COLUMNS.values()]
    return table.reindex(columns=[*_KEYS, *columns]).rename_axis(columns=None).reset_index(drop=True)


def to_markdown(table: pd.DataFrame) -> str:
    """The table to read, under a note on how: accuracies to a tenth, ROUGE-L to a thousandth, a dash for none."""
    formats = tuple(".3f" if name.endswith("rouge_l") else ".1f" for name in table.columns)
    shown = table.astype(object).where(table.notna(), None)
    return f"{_NOTE}\n{shown.to_markdown(index=False, floatfmt=formats, missingval='–')}\n"


def _ranks(names: Sequence[str] | pd.Series) -> dict[str, int]:
    return {name: i for i, name in enumerate(dict.fromkeys(names))}
