"""The results table (table3.csv): the scores that the papers of this field print, one row for each model, ratio, modality and method.

It keeps the name of its file. The source paper's own Table 3, the statistics of its benchmark, is dataset_statistics.csv.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from unsee.benchmarks.schema import SETS
from unsee.results.columns import TABLE_ROW, column_of, in_order, table_metrics
from unsee.results.statistics import alike
from unsee.results.tables import extremes, files

NOTE = """\
Accuracies in percent (classification: 25 is chance with four options), ROUGE-L 0 to 1; means over seeds.
`forget` and `test` ask about the forgotten people (`test` with another picture and in other words): lower is better, down to the
`retain` row, a model that never met them. `retain` and `celebrity` ask about everybody else: higher is better.
95 % intervals, clustered by person, are in scores.csv. The traps: docs/results.md#how-to-read-the-table.
"""


def table3(scores: pd.DataFrame, methods: Sequence[str] = ()) -> pd.DataFrame:
    """Lay the scores of the results table out.

    Args:
        scores: the table of :func:`unsee.results.tables.scores.summarise`.
        methods: the entries of the configuration, in order. The reference models stand before them; methods that are not listed
            stand behind, in the order of ``scores``.

    Returns:
        One row for each model, ratio, modality and method, with a column ``{set}_{column}`` for each set and each metric of
        :func:`unsee.results.columns.table_metrics`. Each cell is the mean over seeds, in the metric's unit; NaN where no question
        was asked.

    Raises:
        ValueError: one run has two values of a score, which a mean would hide.
    """
    keys = list(TABLE_ROW)
    columns = {(metric.task, metric.name): metric.column for metric in table_metrics()}
    kinds = pd.DataFrame([(*key, column) for key, column in columns.items()], columns=["task", "metric", "kind"])
    rows = scores.merge(kinds, on=["task", "metric"])
    repeated = rows[rows.duplicated([*keys, "seed", "set", "kind"])]
    if len(repeated):
        row = repeated.iloc[0]
        raise ValueError(
            f"scores: {row['model']}, {row['forget_percent']} %, {row['method']}, seed {row['seed']} has two values "
            f"of {row['set']}, {row['modality']}, {row['kind']} ({len(repeated)} such); expected one, make "
            "scores.csv again"
        )
    table = rows.assign(column=rows["set"] + "_" + rows["kind"]).pivot_table(
        index=keys, columns="column", values="value", aggfunc="mean"
    )
    ranks = {
        "method": {name: i for i, name in enumerate(in_order(scores["method"].tolist(), methods))},
        "model": {name: i for i, name in enumerate(scores["model"].unique())},
    }
    table = table.reset_index().sort_values(
        keys, key=lambda column: column.map(ranks[column.name]) if column.name in ranks else column
    )
    names = [f"{group}_{column}" for group in SETS for column in columns.values()]
    return table.reindex(columns=[*keys, *names]).rename_axis(columns=None).reset_index(drop=True)


def to_markdown(
    table: pd.DataFrame, sees: alike.Sees, reached: extremes.Extents | None = None, remarks: str = ""
) -> str:
    """The table in Markdown, each metric with its own number of decimals, below remarks and what each method sees.

    Args:
        table: the table of :func:`table3`.
        sees: what each method sees.
        reached: the extent of each unlearned model; a column ``mark`` says which are destroyed or have hardly begun, if any are.
        remarks: on this run, see :mod:`unsee.results.tables.remarks`.
    """
    note = remarks + NOTE + alike.as_list(list(alike.legend(sees)))
    places = table[["model", "forget_percent", "method"]].itertuples(index=False, name=None)
    marks = [reached[place].mark if reached and place in reached else "" for place in places]
    if any(marks):
        table = table.copy()
        table.insert(len(TABLE_ROW), "mark", marks)
    return files.to_markdown(table, note, [f".{column_of(name).decimals}f" for name in table.columns])
