"""Do the metrics agree on which run is better?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from unsee.benchmarks.schema import SETS
from unsee.results.statistics.differences import BASELINES, FORGOTTEN, RISING

COLUMNS = ["metric", "other", "tau", "n_runs"]
#: (task, metric) and its short name.
_METRICS = {
    ("classification", "accuracy"): "classification",
    ("classification", "probability"): "probability",
    ("classification", "truth_ratio"): "truth ratio",
    ("generation", "rouge_l"): "ROUGE-L",
    ("cloze", "accuracy"): "cloze",
}


def agreement(scores: pd.DataFrame) -> pd.DataFrame:
    """agreement.csv: Kendall's tau-b between each two metrics, over all unlearned models (ratio, method, seed).

    Each metric is the mean of image and text, turned so that high is good: high truth ratios and low everything else
    for ``forget`` and ``test``, the other way round elsewhere. ``tau`` is 1 for the same order, 0 for none in common, -1
    for the opposite; NaN where a metric is the same for all, or with a single model.

    Args:
        scores: as :func:`unsee.results.tables.scores.summarise` gives them.
    """
    kinds = pd.Series(list(zip(scores["task"], scores["metric"], strict=True)), index=scores.index).map(_METRICS)
    chosen = scores[kinds.notna() & ~scores["method"].isin(BASELINES)]
    forgot = np.where(chosen["metric"].isin(RISING), 1.0, -1.0)
    good = np.where(chosen["set"].isin(FORGOTTEN), forgot, -forgot)
    runs = (
        chosen.assign(name=chosen["set"] + ": " + kinds, good=chosen["value"] * good)
        .groupby(["model", "forget_percent", "method", "seed", "name"])["good"]
        .mean()
        .unstack("name")
    )
    names = [f"{group}: {kind}" for group in SETS for kind in _METRICS.values() if f"{group}: {kind}" in runs]
    rows = [(one, other, _tau(runs[one], runs[other]), len(runs)) for one in names for other in names]
    return pd.DataFrame(rows, columns=COLUMNS)


def _tau(one: pd.Series, other: pd.Series) -> float:
    if len(one) < 2 or one.nunique() < 2 or other.nunique() < 2:
        return float("nan")
    return float(kendalltau(one, other).statistic)
