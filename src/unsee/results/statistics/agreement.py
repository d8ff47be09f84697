"""Do the metrics agree on which run is better?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from unsee.benchmarks.schema import SETS
from unsee.results.columns import FORGOTTEN, METRICS, REFERENCES
from unsee.results.statistics.differences import rises_with_forgetting

COLUMNS = ["metric", "other", "tau", "n_runs"]


def agreement(scores: pd.DataFrame) -> pd.DataFrame:
    """Kendall's rank correlation (tau-b) of every two metrics over the unlearned models: the rows of agreement.csv.

    A model counts once for each ratio, method and seed. A metric's value is the mean of image and text, turned so that high is good:
    on the forgotten people knowing less is good, on all others knowing more.
    ``tau`` is 1 for the same order of the models, 0 for none in common, -1 for the opposite order
    (Kendall, "The treatment of ties in ranking problems", Biometrika 33, 1945, https://doi.org/10.1093/biomet/33.3.239).

    Args:
        scores: the table of :func:`unsee.results.tables.scores.summarise`.

    Returns:
        One row for each two metrics, named ``{set}: {label}``. ``tau`` is NaN where a metric is the same for all models, and with a
        single model.
    """
    compared = {(metric.task, metric.name): metric.label for metric in METRICS if metric.agreement}
    labels = pd.Series(list(zip(scores["task"], scores["metric"], strict=True)), index=scores.index).map(compared)
    rows = scores[labels.notna() & ~scores["method"].isin(REFERENCES)]
    forgot = np.where(rises_with_forgetting(rows), 1.0, -1.0)
    sign = np.where(rows["set"].isin(FORGOTTEN), forgot, -forgot)
    runs = (
        rows.assign(name=rows["set"] + ": " + labels, good=rows["value"] * sign)
        .groupby(["model", "forget_percent", "method", "seed", "name"])["good"]
        .mean()
        .unstack("name")
    )
    names = [f"{group}: {label}" for group in SETS for label in compared.values() if f"{group}: {label}" in runs]
    pairs = [(one, other, _tau(runs[one], runs[other]), len(runs)) for one in names for other in names]
    return pd.DataFrame(pairs, columns=COLUMNS)


def _tau(one: pd.Series, other: pd.Series) -> float:
    if len(one) < 2 or one.nunique() < 2 or other.nunique() < 2:
        return float("nan")
    from scipy.stats import kendalltau  # takes most of a second to import, and only the report comes here

    return float(kendalltau(one, other).statistic)
