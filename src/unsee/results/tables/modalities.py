"""Does a method forget in pictures only? The modalities table (modalities.csv): what is left with a picture, and in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from unsee.benchmarks.schema import MODALITIES, SETS
from unsee.results.columns import FORGOTTEN, in_order, is_metric, metric_of, table_metrics
from unsee.results.statistics.differences import LEVEL, holm, one_column_per_method
from unsee.results.statistics.intervals import Interval, clustered_interval

#: What names a row beside its model, ratio and method.
CELL = ("set", "task", "metric")
COLUMNS = [
    *("model", "forget_percent", "method"),
    *CELL,
    *("left_image", "left_text", "difference", "low", "high", "p", "p_holm", "verdict", "n_questions", "n_people"),
]
NOTE = """\
What is left of the forgotten people, with their picture and in words. Accuracies in percent, ROUGE-L 0 to 1.
`left_image` and `left_text` are the score minus the retain-only model's, which never met the people, with a picture and without.
`difference` is `left_text` minus `left_image`, with its 95 % interval, clustered by person (and by seed where there are several).
`verdict` is `control` for vanilla, `words` where more is left in words (the method forgot the picture rather than the person),
`pictures` where more is left with a picture, `unclear` where the corrected p-value is not below 0.05. `p_holm` is corrected over the
methods of a ratio.
The row of vanilla says what there was to forget in each modality.
"""


def modalities(items: pd.DataFrame, methods: Sequence[str] = ()) -> pd.DataFrame:
    """Compare what each method leaves in the two modalities; :data:`NOTE` defines the columns.

    The source asks the same: its figure 1d puts text-only questions to models that forgot with pictures.

    Args:
        items: one row for each run, question and metric, ``vanilla`` and ``retain`` among the methods, see
            :func:`unsee.results.tables.scores.gather`.
        methods: the entries of the configuration, in order.

    Returns:
        One row for each ratio, method (vanilla first), set of forgotten people, task and metric of the results table, with
        :data:`COLUMNS`, in the metric's unit. Cells without questions in both modalities have no rows.

    Raises:
        ValueError: one model did not answer a question that another model answered.
    """
    items = items[items["set"].isin(FORGOTTEN) & (items["method"] != "base")]
    items = items[is_metric(items, [(metric.task, metric.name) for metric in table_metrics()])]
    order = [name for name in in_order(items["method"].unique().tolist(), methods) if name != "retain"]
    rows = [row for place in one_column_per_method(items) for row in _compare(*place, order)]
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name not in ("p_holm", "verdict")])
    # Vanilla is no method that is compared: its row is a control.
    p = table["p"].where(table["method"] != "vanilla")
    table["p_holm"] = p.groupby([table[name] for name in ("model", "forget_percent", *CELL)], sort=False).transform(
        lambda values: holm(values.to_numpy())
    )
    clear = table["p_holm"] < LEVEL
    control = table["method"] == "vanilla"
    table["verdict"] = np.select(
        [control, clear & (table["difference"] > 0), clear], ["control", "words", "pictures"], "unclear"
    )
    return table[COLUMNS]


def difference_of_means(
    values: np.ndarray, second: np.ndarray, clusters: np.ndarray, seeds: np.ndarray | None = None
) -> Interval:
    """The mean of one part of the values minus that of the other, with an interval clustered by person.

    Each part's mean has its own number of values. A value counts with its deviation from its part's mean, over the number of that
    part: the linearised variance of a difference of two means of the same clusters.

    Args:
        values: (n,) scores of both parts.
        second: (n,) true for the part whose mean is subtracted.
        clusters: (n,) the person of each value.
        seeds: (n,) the seed of each value.

    Raises:
        ValueError: a part has no values.
    """
    if second.all() or not second.any():
        raise ValueError(f"{len(values)} values, all of one part; expected values of both")
    n, in_second = len(values), int(second.sum())
    means = values[~second].mean(), values[second].mean()
    deviations = values - np.where(second, means[1], means[0])
    weights = np.where(second, -n / in_second, n / (n - in_second))
    return clustered_interval(deviations * weights + (means[0] - means[1]), clusters, seeds=seeds)


def _compare(model: str, percent: int, table: pd.DataFrame, methods: Sequence[str]) -> Iterator[tuple[object, ...]]:
    """The rows of one ratio."""
    cells = sorted(table.groupby(list(CELL), observed=True), key=lambda cell: SETS.index(str(cell[0][0])))
    for method in methods:
        if method not in table:  # a method of another ratio or model
            continue
        for cell, part in cells:
            if set(part["modality"]) != set(MODALITIES):
                continue
            scale = metric_of(str(cell[1]), str(cell[2])).scale
            left = (part[method].to_numpy() - part["retain"].to_numpy()) * scale
            image = part["modality"].to_numpy() == "image"
            interval = difference_of_means(left, image, part["person"].to_numpy(), part["seed"].to_numpy())
            yield (
                *(model, percent, method, *map(str, cell)),
                *(left[image].mean(), left[~image].mean()),
                *(interval.mean, interval.low, interval.high, interval.p_value),
                *(part["question_id"].nunique(), interval.n_clusters),
            )
