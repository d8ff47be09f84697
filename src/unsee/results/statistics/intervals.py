"""How sure a mean is, when a person's questions are not independent of one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit  # t's distribution and quantile; scipy.stats takes a second to import


@dataclass(frozen=True)
class Interval:
    """A mean, the ends of its interval and its standard error, all in the unit of the values."""

    mean: float
    low: float
    high: float
    standard_error: float
    n_clusters: int
    degrees: float  # of freedom

    @property
    def p_value(self) -> float:
        """Two-sided, of the mean being 0; NaN with fewer than two clusters.

        Where every value is the same, t is infinite and says nothing; then the sign test's over the clusters.
        """
        if self.n_clusters < 2:
            return float("nan")
        if self.standard_error == 0:
            return 1.0 if self.mean == 0 else float(2.0 ** (1 - self.n_clusters))
        return float(2 * stdtr(self.degrees, -abs(self.mean) / self.standard_error))


def clustered_interval(
    values: np.ndarray, clusters: np.ndarray, confidence: float = 0.95, *, seeds: np.ndarray | None = None
) -> Interval:
    """A t interval for the mean of ``values``, clustered.

    The variance is that of the clusters' sums of deviations, with the small-sample factor G / (G - 1); G - 1 degrees
    of freedom (Miller, "Adding Error Bars to Evals", 2024; the same as a regression on a constant with
    cluster-robust errors). With 25 people it covers what it says, which a bootstrap of people does not quite.
    The ends are not cut to the range of the values.

    With several seeds, values of one seed are not independent either: the variance is that of two-way clustering
    (Cameron, Gelbach and Miller, 2011), people's plus seeds' less that of both together, but never below people's;
    the degrees of freedom are Satterthwaite's for the two parts. Three seeds say little about seeds: where
    they differ, such an interval is wide.

    Args:
        values: (n,) scores.
        clusters: (n,) the person of each; anything that sorts.
        confidence: between 0 and 1.
        seeds: (n,) the seed of each; with one seed the same as without.

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
        return Interval(mean, float("nan"), float("nan"), float("nan"), groups, 0.0)
    if np.ptp(values) == 0:  # exactly no width, whatever the mean was rounded to
        value = float(values[0])
        return Interval(value, value, value, 0.0, groups, groups - 1.0)
    variance = _variance(values - mean, index)
    degrees = groups - 1.0
    if seeds is not None:
        variance, degrees = _crossed(values - mean, index, np.unique(seeds, return_inverse=True)[1], variance)
    error = float(np.sqrt(variance))
    half = float(stdtrit(degrees, 0.5 + confidence / 2)) * error
    return Interval(mean, mean - half, mean + half, error, groups, degrees)


def _variance(deviations: np.ndarray, index: np.ndarray) -> float:
    """Of the mean, by the sums of deviations of each cluster."""
    sums = np.bincount(index, weights=deviations)
    groups = len(sums)
    return float(groups / (groups - 1) * np.sum(sums**2)) / len(deviations) ** 2


def _crossed(deviations: np.ndarray, people: np.ndarray, seeds: np.ndarray, of_people: float) -> tuple[float, float]:
    """The variance of the mean over people and seeds, and its degrees of freedom."""
    n_people, n_seeds = int(people.max()) + 1, int(seeds.max()) + 1
    if n_seeds < 2:
        return of_people, n_people - 1.0
    both = np.unique(people * n_seeds + seeds, return_inverse=True)[1]
    of_seeds = max(0.0, _variance(deviations, seeds) - _variance(deviations, both))
    total = of_people + of_seeds
    if not total:  # deviations that cancel out in every cluster
        return 0.0, n_people - 1.0
    return total, total**2 / (of_people**2 / (n_people - 1) + of_seeds**2 / (n_seeds - 1))


def bootstrap_t_interval(
    values: np.ndarray, clusters: np.ndarray, confidence: float = 0.95, *, resamples: int = 1999, seed: int = 0
) -> Interval:
    """The same by bootstrap-t: people are drawn with replacement, and t's quantiles are read off the draws.

    It does not take the mean to be symmetrically distributed, which helps near 0 and 100 %. Draws without spread
    have no t and are left out (Efron and Tibshirani, "An Introduction to the Bootstrap", chapter 12).

    Args:
        values, clusters, confidence: as for :func:`clustered_interval`.
        resamples: how many draws.
        seed: of the draws.
    """
    plain = clustered_interval(values, clusters, confidence)
    if not plain.standard_error > 0:
        return plain
    index = np.unique(clusters, return_inverse=True)[1]
    sums, counts = np.bincount(index, weights=values), np.bincount(index)
    groups = len(counts)
    drawn = np.random.default_rng(seed).integers(groups, size=(resamples, groups))
    n = counts[drawn].sum(axis=1)
    means = sums[drawn].sum(axis=1) / n
    deviations = sums[drawn] - means[:, None] * counts[drawn]
    errors = np.sqrt(groups / (groups - 1) * (deviations**2).sum(axis=1)) / n
    spread = errors > 1e-12 * plain.standard_error
    if not spread.any():
        return plain
    t = (means[spread] - plain.mean) / errors[spread]
    lower, upper = np.quantile(t, [0.5 - confidence / 2, 0.5 + confidence / 2])
    low, high = plain.mean - upper * plain.standard_error, plain.mean - lower * plain.standard_error
    return Interval(plain.mean, float(low), float(high), plain.standard_error, groups, plain.degrees)


#: By their names in the configuration.
INTERVALS: dict[str, Callable[[np.ndarray, np.ndarray], Interval]] = {
    "cluster_t": clustered_interval,
    "bootstrap_t": bootstrap_t_interval,
}
