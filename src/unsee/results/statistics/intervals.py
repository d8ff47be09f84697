"""Confidence intervals of means, where the questions about one person are not independent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit  # t's distribution and quantile; scipy.stats takes a second to import


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval.

    Attributes:
        mean, low, high, standard_error: in the unit of the values.
        n_clusters: the number of people.
        degrees: degrees of freedom of the t distribution.
    """

    mean: float
    low: float
    high: float
    standard_error: float
    n_clusters: int
    degrees: float

    @property
    def p_value(self) -> float:
        """The two-sided p-value of a mean of 0; NaN with fewer than two clusters.

        Where all values are equal the t statistic is infinite; there it is the p-value of the sign test over the clusters.
        """
        if self.n_clusters < 2:
            return float("nan")
        if self.standard_error == 0:
            return 1.0 if self.mean == 0 else float(2.0 ** (1 - self.n_clusters))
        return float(2 * stdtr(self.degrees, -abs(self.mean) / self.standard_error))

    def detectable(self, power: float = 0.8, level: float = 0.05) -> float:
        """The smallest true mean that a two-sided test of 0 with this standard error shows with this power.

        It is (t(1 - level / 2) + t(power)) * standard error, with t's quantiles at ``degrees``: the minimum detectable effect of
        Dong and Maynard ("PowerUp!: A Tool for Calculating Minimum Detectable Effect Sizes", 2013, the multiplier of clustered
        designs, https://doi.org/10.1080/19345747.2012.673143), after Bloom ("Minimum Detectable Effects", 1995,
        https://doi.org/10.1177/0193841X9501900504). It is an approximation: a power of 0.8 is in truth 0.79 with 5 people and 0.73
        with 2, by the noncentral t distribution.

        Args:
            power: the probability that the test shows it.
            level: of the two-sided test.

        Returns:
            The mean, above 0; NaN with fewer than two clusters and where all values are equal, because then there is no spread to
            compute from.
        """
        if not self.standard_error > 0:
            return float("nan")
        return float(stdtrit(self.degrees, 1 - level / 2) + stdtrit(self.degrees, power)) * self.standard_error


def clustered_interval(
    values: np.ndarray, clusters: np.ndarray, confidence: float = 0.95, *, seeds: np.ndarray | None = None
) -> Interval:
    """The t interval of a mean, with standard errors clustered by person.

    The variance is the sum of squares of the clusters' sums of deviations, divided by n squared, times G / (G - 1) for G clusters; the
    t distribution has G - 1 degrees of freedom. A regression on a constant with cluster-robust errors gives the same
    (Miller, "Adding Error Bars to Evals", 2024, https://arxiv.org/abs/2411.00640).
    With 25 people it covers 95 %; a percentile bootstrap of people covers slightly less.
    The ends are not cut to the range of the values.

    Values of one seed are not independent either. With several seeds the variance is that of two-way clustering: people's plus seeds'
    minus that of their intersection (Cameron, Gelbach and Miller, "Robust Inference With Multiway Clustering", 2011, section 2,
    https://doi.org/10.1198/jbes.2010.07136), but never below people's. The degrees of freedom follow Satterthwaite ("An approximate
    distribution of estimates of variance components", 1946, https://doi.org/10.2307/3002019). Three seeds determine the
    variance between seeds poorly: where seeds differ, the interval is wide.

    Args:
        values: (n,) scores.
        clusters: (n,) the person of each value, of any type that sorts.
        confidence: of the interval, between 0 and 1.
        seeds: (n,) the seed of each value; a single seed changes nothing.

    Returns:
        The interval. Its ends and standard error are NaN with fewer than two clusters.

    Raises:
        ValueError: there are no values, the arrays differ in length, or the confidence is not between 0 and 1.
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
    if np.ptp(values) == 0:  # width 0 exactly; the mean may be off by rounding
        value = float(values[0])
        return Interval(value, value, value, 0.0, groups, groups - 1.0)
    variance = _variance(values - mean, index)
    degrees = groups - 1.0
    if seeds is not None:
        variance, degrees = _crossed(values - mean, index, np.unique(seeds, return_inverse=True)[1], variance)
    error = float(np.sqrt(variance))
    rounding = 1e-12 * float(np.abs(values).max())
    if error < rounding:  # the sums of all clusters are equal, but for the last bits
        mean, error = (0.0 if abs(mean) < rounding else mean), 0.0
    half = float(stdtrit(degrees, 0.5 + confidence / 2)) * error
    return Interval(mean, mean - half, mean + half, error, groups, degrees)


def _variance(deviations: np.ndarray, index: np.ndarray) -> float:
    """The variance of the mean, from the sum of deviations of each cluster."""
    sums = np.bincount(index, weights=deviations)
    groups = len(sums)
    return float(groups / (groups - 1) * np.sum(sums**2)) / len(deviations) ** 2


def _crossed(deviations: np.ndarray, people: np.ndarray, seeds: np.ndarray, of_people: float) -> tuple[float, float]:
    """The variance of the mean with two-way clustering, and its degrees of freedom."""
    n_people, n_seeds = int(people.max()) + 1, int(seeds.max()) + 1
    if n_seeds < 2:
        return of_people, n_people - 1.0
    both = np.unique(people * n_seeds + seeds, return_inverse=True)[1]
    of_seeds = max(0.0, _variance(deviations, seeds) - _variance(deviations, both))
    total = of_people + of_seeds
    if not total:  # the deviations cancel out in every cluster
        return 0.0, n_people - 1.0
    return total, total**2 / (of_people**2 / (n_people - 1) + of_seeds**2 / (n_seeds - 1))


def bootstrap_t_interval(
    values: np.ndarray, clusters: np.ndarray, confidence: float = 0.95, *, resamples: int = 1999, seed: int = 0
) -> Interval:
    """The bootstrap-t interval of a mean: people are drawn with replacement, and the quantiles of t are those of the draws.

    It does not assume that the mean is distributed symmetrically, which matters near 0 and 100 %. Draws without spread have no t and
    are left out (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 12.5,
    https://doi.org/10.1201/9780429246593).

    Args:
        values, clusters, confidence: as for :func:`clustered_interval`.
        resamples: the number of draws.
        seed: of the random draws.

    Returns:
        The interval; that of :func:`clustered_interval` where the values have no spread.
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


#: The kinds of interval by the value of the configuration's key ``interval``.
INTERVALS: dict[str, Callable[[np.ndarray, np.ndarray], Interval]] = {
    "cluster_t": clustered_interval,
    "bootstrap_t": bootstrap_t_interval,
}
