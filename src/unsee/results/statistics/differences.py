"""Paired differences: each method to vanilla and to the retain-only model, question by question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from unsee.benchmarks.schema import SETS
from unsee.results.statistics.intervals import Interval, clustered_interval

#: What every method is compared with.
BASELINES = ("vanilla", "retain")
#: The sets that ask about the people to forget.
FORGOTTEN = ("forget", "test")
#: Metrics that rise as a model forgets; all others fall.
RISING = ("truth_ratio",)
#: A difference is called one when its Holm-corrected p-value is below this.
LEVEL = 0.05

_PLACE = ["model", "forget_percent"]
_CELL = ["set", "modality", "task", "metric"]
COLUMNS = [
    *_PLACE,
    *("method", "against"),
    *_CELL,
    *("difference", "low", "high", "p", "p_holm", "verdict", "over_unlearned", "n_questions", "n_people"),
]


def differences(items: pd.DataFrame, baselines: Sequence[str] = BASELINES) -> pd.DataFrame:
    """differences.csv: one row a ratio, method, baseline, set, modality, task and metric.

    ``difference`` is the method's mean less the baseline's: percentage points for accuracies, 0 to 1 for the others.
    ``low`` and ``high`` are the ends of its 95 % interval, from the differences of single questions (same question,
    same seed), clustered by person and, with several seeds, by seed. ``p`` is that of no difference; ``p_holm`` the
    same corrected over the methods of a ratio (Holm, 1979). ``verdict`` is ``lower`` or ``higher`` where ``p_holm`` is
    below 0.05, else ``unclear``. ``over_unlearned`` is true where a method knows less of the forgotten people
    than a model that never met them: a verdict against ``retain`` in ``forget`` or ``test``.

    Args:
        items: as :func:`unsee.results.tables.scores.gather` gives them.
        baselines: the methods to compare the others with; they are not compared with one another.

    Raises:
        ValueError: a method that lacks questions or seeds of a baseline.
    """
    methods = [name for name in items["method"].unique() if name not in baselines]
    rows = [row for place in one_column_per_method(items) for row in _compare(*place, methods, baselines)]
    table = pd.DataFrame(
        rows, columns=[name for name in COLUMNS if name not in ("p_holm", "verdict", "over_unlearned")]
    )
    family = [*_PLACE, "against", *_CELL]
    table["p_holm"] = table.groupby(family, sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    clear = table["p_holm"] < LEVEL
    table["verdict"] = np.select([clear & (table["difference"] < 0), clear], ["lower", "higher"], "unclear")
    forgot = np.where(table["metric"].isin(RISING), "higher", "lower")
    table["over_unlearned"] = (
        (table["against"] == "retain") & table["set"].isin(FORGOTTEN) & (table["verdict"] == forgot)
    )
    return table[COLUMNS]


def one_column_per_method(items: pd.DataFrame) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """Model, ratio and a table of both: a row a question, metric and seed, a column a method, ``person`` a number.

    Raises:
        ValueError: a method that was not asked what another was, at the same ratio and seed.
    """
    for (model, percent), part in items.groupby(_PLACE, sort=False, observed=True):
        table = part.pivot(
            index=[*_CELL, "person_id", "question_id", "seed"], columns="method", values="value"
        ).reset_index()
        table["person"] = pd.factorize(table["person_id"])[0]  # numbers sort faster
        missing = table.columns[table.isna().any()]
        if len(missing):
            row = table[table[missing[0]].isna()].iloc[0]
            raise ValueError(
                f"scores.parquet: {model}, {percent} %, {missing[0]} has no {row['metric']} of {row['question_id']!r} "
                f"with seed {row['seed']}, which other methods have; expected every method to answer the same "
                "questions, make scores.csv again"
            )
        yield str(model), int(str(percent)), table


def paired(part: pd.DataFrame, method: str, against: str, scale: float = 1.0) -> Interval:
    """The mean difference of two columns of a part of :func:`one_column_per_method`, by person and seed."""
    values = (part[method].to_numpy() - part[against].to_numpy()) * scale
    return clustered_interval(values, part["person"].to_numpy(), seeds=part["seed"].to_numpy())


def holm(p: np.ndarray) -> np.ndarray:
    """Holm-corrected p-values; what is NaN stays so and counts for nothing.

    As ``statsmodels.stats.multitest.multipletests``, which collects garbage at every call: ten seconds for a table.
    """
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def _compare(
    model: str, percent: int, table: pd.DataFrame, methods: Sequence[str], baselines: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    groups = sorted(table.groupby(_CELL, observed=True), key=lambda group: SETS.index(str(group[0][0])))
    for method in methods:
        if method not in table:  # a method of another ratio or model
            continue
        for against in baselines:
            for cell, part in groups:
                found = paired(part, method, against, 100.0 if cell[-1] == "accuracy" else 1.0)
                yield (
                    *(model, percent, method, against, *map(str, cell)),
                    *(found.mean, found.low, found.high, found.p_value),
                    *(part["question_id"].nunique(), found.n_clusters),
                )
