"""How sure a mean is, when a person's questions are not independent of one another."""

from __future__ import annotations

import numpy as np
from scipy import stats


def clustered_interval(values: np.ndarray, clusters: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """A t interval for the mean of ``values``, clustered.

    The variance is that of the cluster sums of deviations, with the small-sample factor G / (G - 1); G - 1 degrees of
    freedom (Miller, "Adding Error Bars to Evals", 2024; the same as a regression on a constant with
    cluster-robust errors).

    Args:
        values: (n,) scores.
        clusters: (n,) the person of each.
        confidence: e.g. 0.95.

    Returns:
        Lower and upper end; both NaN with fewer than two clusters.
    """
    _, index = np.unique(clusters, return_inverse=True)
    groups = int(index.max()) + 1 if len(index) else 0
    if groups < 2:
        return float("nan"), float("nan")
    mean = values.mean()
    sums = np.bincount(index, weights=values - mean, minlength=groups)
    error = np.sqrt(groups / (groups - 1) * (sums**2).sum()) / len(values)
    half = float(stats.t.ppf(0.5 + confidence / 2, groups - 1) * error)
    return float(mean - half), float(mean + half)
