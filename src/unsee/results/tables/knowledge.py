"""Was there anything to forget? The knowledge table (knowledge.csv): what the models knew before unlearning.

Unlearning can only be judged where vanilla knows more about the people to forget than the retain-only model, which never met them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from unsee.benchmarks.schema import SETS
from unsee.results.columns import FORGOTTEN, REFERENCE_LABELS, SCORE, is_metric, metric_of, table_metrics
from unsee.results.statistics.differences import one_column_per_method, paired_interval

COLUMNS = [
    *("model", "forget_percent", "method"),
    *SCORE,
    *("score", "score_of_retain", "difference", "low", "high", "detectable", "verdict", "n_questions", "n_people"),
]
#: The models that are compared with the retain-only model, and the sets in which.
COMPARED = {"vanilla": FORGOTTEN, "base": ("forget",)}
#: How many scores are listed below a table and on the page; knowledge.md has them all.
MOST_LISTED = 6
NOTE = """\
Was there anything to forget? Each row compares vanilla, or the base model, with the retain-only model, which never met the people, on
questions about the people to forget. Accuracies in percent, ROUGE-L 0 to 1.
`difference` is the model's score minus the retain-only model's, with its 95 % interval: paired question by question, clustered by
person (and by seed where there are several).
`detectable` is the smallest true difference that a comparison with this standard error would show 80 times in 100 (two-sided, at 5 %).
It is missing for one person, and where all differences are equal.
`verdict` is `more` where the whole interval says that the model knows more than the retain-only model, `less` where it says less, and
`unclear` where the interval includes 0. It is not corrected for the number of rows.
Where vanilla's verdict is not `more`, no method can be judged by that score: there is nothing to forget, or there are too few people
to show it.
"""

_MODALITIES = {"image": "with a picture", "text": "in words"}


def knowledge(items: pd.DataFrame) -> pd.DataFrame:
    """Compare vanilla and the base model with the retain-only model on the people to forget; :data:`NOTE` defines the columns.

    Args:
        items: one row for each run, question and metric, see :func:`unsee.results.tables.scores.gather`.

    Returns:
        One row for each ratio, model of :data:`COMPARED`, set, modality and metric of the results table, with :data:`COLUMNS`.
        Models and sets without items have no rows. ``score``, ``score_of_retain``, ``difference``, ``low``, ``high`` and
        ``detectable`` are in the metric's unit.

    Raises:
        ValueError: one model did not answer a question that another model answered.
    """
    items = items[items["method"].isin(["retain", *COMPARED]) & items["set"].isin(FORGOTTEN)]
    items = items[is_metric(items, [(metric.task, metric.name) for metric in table_metrics()])]
    rows = [row for place in one_column_per_method(items) for row in _compare(*place)]
    return pd.DataFrame(rows, columns=COLUMNS)


def to_markdown(table: pd.DataFrame) -> str:
    """The table in Markdown, each number with the decimals of its row's metric, below :data:`NOTE`."""
    rows = table.to_dict("records")
    shown = table.drop(columns=["low", "high", "n_questions"]).astype(str)
    for name in ("score", "score_of_retain", "detectable"):
        shown[name] = [_number(row, row[name]) for row in rows]
    shown["difference"] = [f"{_number(row, row['difference'])} ({_interval(row)})" for row in rows]
    return f"{NOTE}\n{shown.to_markdown(index=False, disable_numparse=True)}\n"


def sentences(table: pd.DataFrame) -> list[str]:
    """The result in sentences: first whether there was anything to forget, then whether the base model knew the people.

    Args:
        table: the table of :func:`knowledge`.

    Returns:
        For each of the two a sentence, followed by one for each score that is an exception, of which the first
        :data:`MOST_LISTED` are listed. Nothing where there are no scores to compare.
    """
    vanilla, base = (table[table["method"] == method] for method in ("vanilla", "base"))
    lines = []
    single = vanilla[vanilla["n_people"] == 1]
    if len(single):
        lines.append(_headline_of_one(int((single["difference"] * _direction(single) > 0).sum()), len(single)))
    vanilla, base = (part[part["n_people"] > 1] for part in (vanilla, base))
    if len(vanilla):
        missing = vanilla[vanilla["verdict"] != "more"]
        lines += [_headline(len(missing), len(vanilla)), *_listed(missing, "Nothing to forget is shown here")]
    if len(base):
        above = base[base["verdict"] == "more"]
        lines += [_headline_of_base(len(above), len(base)), *_listed(above, "Known before")]
    return lines


def as_list(lines: Sequence[str]) -> str:
    """Sentences as a list in Markdown, to stand below a table."""
    return "".join(["\n", *(f"- {line}\n" for line in lines)]) if lines else ""


def _compare(model: str, percent: int, table: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    """The rows of one ratio."""
    cells = sorted(table.groupby(list(SCORE), observed=True), key=lambda cell: SETS.index(str(cell[0][0])))
    for method, sets in COMPARED.items():
        for cell, part in cells:
            if method not in part or cell[0] not in sets:
                continue
            metric = metric_of(str(cell[-2]), str(cell[-1]))
            interval = paired_interval(part, method, "retain", metric.scale)
            yield (
                *(model, percent, method, *map(str, cell)),
                *(part[method].mean() * metric.scale, part["retain"].mean() * metric.scale),
                *(interval.mean, interval.low, interval.high, interval.detectable()),
                _verdict(interval.low, interval.high, metric.higher_is_better),
                *(part["question_id"].nunique(), interval.n_clusters),
            )


def _verdict(low: float, high: float, higher_is_better: bool) -> str:
    if low > 0:
        return "more" if higher_is_better else "less"
    if high < 0:
        return "less" if higher_is_better else "more"
    return "unclear"


def _headline(missing: int, compared: int) -> str:
    if not missing:
        return (
            "There was something to forget: vanilla knows more than the retain-only model in every task and modality, "
            "in `forget` and in `test`, at every ratio."
        )
    if missing == compared:
        return (
            f"Nothing to forget is shown: vanilla knows more than the retain-only model in none of {compared} scores, so no "
            "method can be judged."
        )
    return (
        f"Vanilla knows more than the retain-only model in {compared - missing} of {compared} scores. No method can be judged by "
        f"the other {missing}: there was nothing to forget, or there are too few people to show it."
    )


def _headline_of_one(above: int, compared: int) -> str:
    return (
        f"Of a single forgotten person vanilla knows more than the retain-only model in {above} of {compared} scores. Whether that is "
        "more than chance cannot be said: there is no interval for one person."
    )


def _direction(rows: pd.DataFrame) -> np.ndarray:
    """1 where a higher score means more knowledge, -1 where it means less."""
    higher = [metric_of(task, name).higher_is_better for task, name in zip(rows["task"], rows["metric"], strict=True)]
    return np.where(higher, 1.0, -1.0)


def _headline_of_base(above: int, compared: int) -> str:
    if not above:
        return (
            f"The base model did not know the people: it is above the retain-only model in none of {compared} scores of "
            "`forget`."
        )
    return f"The base model knew of the people before: it is above the retain-only model in {above} of {compared} scores of `forget`."


def _listed(rows: pd.DataFrame, label: str) -> Iterator[str]:
    for row in rows.head(MOST_LISTED).to_dict("records"):
        metric = metric_of(row["task"], row["metric"])
        compared, retain = REFERENCE_LABELS[row["method"]], REFERENCE_LABELS["retain"]
        scores = f"{compared} {_number(row, row['score'])}, {retain} {_number(row, row['score_of_retain'])}"
        sure = (
            f"; {row['n_people']} people show differences from {_number(row, row['detectable'])}"
            if row["verdict"] == "unclear" and not np.isnan(row["detectable"])
            else ""
        )
        yield (
            f"{label}: {metric.label} {_MODALITIES[row['modality']]} at {row['forget_percent']} % in `{row['set']}`: {scores}, "
            f"difference {_number(row, row['difference'])} ({_interval(row)}){sure}."
        )
    if len(rows) > MOST_LISTED:
        yield f"{len(rows) - MOST_LISTED} more are in knowledge.md."


def _number(row: Mapping[Any, Any], value: float) -> str:
    """A number with the decimals of the row's metric; a dash where it is missing."""
    return "–" if np.isnan(value) else f"{value:.{metric_of(row['task'], row['metric']).decimals}f}"


def _interval(row: Mapping[Any, Any]) -> str:
    """The interval in words."""
    if np.isnan(row["low"]):
        return "one person, no interval"
    return f"{_number(row, row['low'])} to {_number(row, row['high'])}"
