"""How sure a mean is, when a person's questions are not independent of one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit  # the t quantile; scipy.stats takes a second to import


@dataclass(frozen=True)
class Interval:
    """A mean, the ends of its interval and its standard error, all in the unit of the values."""

    mean: float
    low: float
    high: float
    standard_error: float
    n_clusters: int


def clustered_interval(values: np.ndarray, clusters: np.ndarray, confidence: float = 0.95) -> Interval:
    """A t interval for the mean of ``values``, clustered.

    The variance is that of the clusters' sums of deviations, with the small-sample factor G / (G - 1); G - 1 degrees
    of freedom (Miller, "Adding Error Bars to Evals", 2024; the same as a regression on a constant with
    cluster-robust errors). With 25 people it covers what it says, which a bootstrap of people does not quite.
    The ends are not cut to the range of the values.

    Args:
        values: (n,) scores.
        clusters: (n,) the person of each; anything that sorts.
        confidence: between 0 and 1.

    Returns:
        The interval; ends and standard error are NaN with fewer than two clusters.

    Raises:
        ValueError: no values, or arrays of two lengths.
    """
    if len(values) != len(clusters) or not len(values):
        raise ValueError(
            f"{len(values)} values and {len(clusters)} clusters; expected a cluster for each value, at least one"
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a number between 0 and 1, such as 0.95")
    index = np.unique(clusters, return_inverse=True)[1]
    groups = int(index.max()) + 1
    mean = float(np.mean(values))
    if groups < 2:
        return Interval(mean, float("nan"), float("nan"), float("nan"), groups)
    if np.ptp(values) == 0:  # exactly no width, whatever the mean was rounded to
        value = float(values[0])
        return Interval(value, value, value, 0.0, groups)
    sums = np.bincount(index, weights=values - mean, minlength=groups)
    error = float(np.sqrt(groups / (groups - 1) * np.sum(sums**2))) / len(values)
    half = float(stdtrit(groups - 1, 0.5 + confidence / 2)) * error
    return Interval(mean, mean - half, mean + half, error, groups)
