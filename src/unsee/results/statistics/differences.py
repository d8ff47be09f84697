"""Each method against vanilla and against the retain-only model, paired question by question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from unsee.benchmarks.schema import SETS
from unsee.results.columns import BASELINES, FORGOTTEN, METRICS, SCORE, metric_of
from unsee.results.statistics.intervals import Interval, clustered_interval

#: A difference is called one where its Holm-corrected p-value is below this.
LEVEL = 0.05

_PLACE = ["model", "forget_percent"]
COLUMNS = [
    *_PLACE,
    *("method", "against"),
    *SCORE,
    *("difference", "low", "high", "p", "p_holm", "verdict", "over_unlearned", "n_questions", "n_people"),
]


def differences(items: pd.DataFrame, baselines: Sequence[str] = BASELINES) -> pd.DataFrame:
    """Compare every method with the baselines: the rows of differences.csv.

    ``difference`` is the method's mean minus the baseline's: percentage points for accuracies, 0 to 1 for other metrics.
    ``low`` and ``high`` are the ends of its 95 % interval, computed from the differences of single questions (same question, same
    seed), clustered by person and, with several seeds, by seed.
    ``p`` is the p-value of no difference, ``p_holm`` the same corrected over the methods of a ratio.
    ``verdict`` is ``lower`` or ``higher`` where ``p_holm`` is below 0.05, else ``unclear``.
    ``over_unlearned`` is true where a method knows less of the forgotten people than a model that never met them: a verdict
    against ``retain`` in the sets ``forget`` and ``test``.

    Args:
        items: one row for each run, question and metric, see :func:`unsee.results.tables.scores.gather`.
        baselines: the models to compare with. They are not compared with one another, and the base model is compared with none.

    Returns:
        One row for each ratio, method, baseline, set, modality, task and metric, with :data:`COLUMNS`.

    Raises:
        ValueError: a method lacks questions or seeds of a baseline.
    """
    methods = [name for name in items["method"].unique() if name not in (*baselines, "base")]
    rows = [row for place in one_column_per_method(items) for row in _compare(*place, methods, baselines)]
    table = pd.DataFrame(
        rows, columns=[name for name in COLUMNS if name not in ("p_holm", "verdict", "over_unlearned")]
    )
    family = [*_PLACE, "against", *SCORE]
    table["p_holm"] = table.groupby(family, sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    clear = table["p_holm"] < LEVEL
    table["verdict"] = np.select([clear & (table["difference"] < 0), clear], ["lower", "higher"], "unclear")
    knows_less = np.where(rises_with_forgetting(table), "higher", "lower")
    table["over_unlearned"] = (
        (table["against"] == "retain") & table["set"].isin(FORGOTTEN) & (table["verdict"] == knows_less)
    )
    return table[COLUMNS]


def rises_with_forgetting(table: pd.DataFrame) -> pd.Series:
    """Which rows have a metric that is higher in a model that knows less."""
    names = [f"{metric.task}/{metric.name}" for metric in METRICS if not metric.higher_is_better]
    return (table["task"].astype(str) + "/" + table["metric"].astype(str)).isin(names)


def one_column_per_method(items: pd.DataFrame) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """Lay the methods of each model and ratio side by side.

    Args:
        items: as for :func:`differences`.

    Yields:
        Model, ratio and table: one row for each question, metric and seed, one column for each method, and ``person``, a number.

    Raises:
        ValueError: a method did not answer a question that another method answered, at the same ratio and seed.
    """
    for (model, percent), part in items.groupby(_PLACE, sort=False, observed=True):
        table = part.pivot(
            index=[*SCORE, "person_id", "question_id", "seed"], columns="method", values="value"
        ).reset_index()
        table["person"] = pd.factorize(table["person_id"])[0]  # numbers sort faster than names
        missing = table.columns[table.isna().any()]
        if len(missing):
            row = table[table[missing[0]].isna()].iloc[0]
            raise ValueError(
                f"scores.parquet: {model}, {percent} %, {missing[0]} has no {row['metric']} of {row['question_id']!r} "
                f"with seed {row['seed']}, which other methods have; expected every method to answer the same "
                "questions, make scores.csv again"
            )
        yield str(model), int(str(percent)), table


def paired_interval(part: pd.DataFrame, method: str, against: str, scale: float = 1.0) -> Interval:
    """The interval of the mean difference of two methods, clustered by person and seed.

    Args:
        part: rows of a table of :func:`one_column_per_method`.
        method, against: two of its columns.
        scale: what the values, 0 to 1, are multiplied by.
    """
    values = (part[method].to_numpy() - part[against].to_numpy()) * scale
    return clustered_interval(values, part["person"].to_numpy(), seeds=part["seed"].to_numpy())


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values for multiple comparisons by Holm's step-down procedure.

    The i-th smallest of m p-values is multiplied by m + 1 - i; a corrected value is never below that of a smaller p-value, and never
    above 1 (Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979,
    https://www.jstor.org/stable/4615733).
    ``statsmodels.stats.multitest.multipletests`` gives the same, but starts a garbage collection at every call: ten seconds for a table.

    Args:
        p: (n,) p-values; NaN stays NaN and does not count as a comparison.

    Returns:
        (n,) corrected p-values.
    """
    corrected = np.full(len(p), np.nan)
    valid = np.flatnonzero(~np.isnan(p))
    order = valid[np.argsort(p[valid], kind="stable")]
    steps = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def _compare(
    model: str, percent: int, table: pd.DataFrame, methods: Sequence[str], baselines: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    cells = sorted(table.groupby(list(SCORE), observed=True), key=lambda cell: SETS.index(str(cell[0][0])))
    for method in methods:
        if method not in table:  # a method of another ratio or model
            continue
        for against in baselines:
            for cell, part in cells:
                interval = paired_interval(part, method, against, metric_of(str(cell[-2]), str(cell[-1])).scale)
                yield (
                    *(model, percent, method, against, *map(str, cell)),
                    *(interval.mean, interval.low, interval.high, interval.p_value),
                    *(part["question_id"].nunique(), interval.n_clusters),
                )
