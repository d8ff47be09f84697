"""How well a score tells the forgotten people's pairs from strangers', with intervals clustered by person.

A member is a training pair of a forgotten person, a non-member one of a stranger (:mod:`unsee.benchmarks.strangers`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unsee.results.statistics import jackknife
from unsee.results.statistics.intervals import Interval

#: The false positive rate at which the true positive rate is reported.
FALSE_POSITIVES = 0.01
#: Draws of people for the interval of the true positive rate.
RESAMPLES = 1999


@dataclass(frozen=True)
class Pairs:
    """One score of the pairs of forgotten people and of strangers.

    Attributes:
        members, strangers: the scores, (m,) and (n,); higher is more like a training pair.
        people, unmet: the person of each, numbered from 0 without gaps, (m,) and (n,).
    """

    members: np.ndarray
    strangers: np.ndarray
    people: np.ndarray
    unmet: np.ndarray

    @property
    def strata(self) -> np.ndarray:
        """(people,) 0 for each forgotten person, then 1 for each stranger, as the jackknife takes them."""
        return np.repeat([0, 1], [self.people.max() + 1, self.unmet.max() + 1])


def auc(pairs: Pairs) -> np.ndarray:
    """The probability that a member scores higher than a non-member, ties counted half: the area under the ROC curve.

    It is the Mann-Whitney statistic divided by the number of comparisons (Hanley and McNeil, "The meaning and use of the area under a
    receiver operating characteristic (ROC) curve", 1982, https://doi.org/10.1148/radiology.143.1.7063747).

    Returns:
        (1 + people,) 0 to 1: first of all pairs, then without each forgotten person and without each stranger in turn. NaN where
        no person is left.
    """
    wins = _wins(pairs)
    members, strangers = np.bincount(pairs.people), np.bincount(pairs.unmet)
    total = wins.sum()
    above = np.concatenate([[total], total - wins.sum(axis=1), total - wins.sum(axis=0)])
    m, n = members.sum(), strangers.sum()
    comparisons = np.concatenate([[m * n], (m - members) * n, m * (n - strangers)])
    return np.asarray(np.divide(above, comparisons, out=np.full(len(above), np.nan), where=comparisons > 0))


def _wins(pairs: Pairs) -> np.ndarray:
    """How many of the comparisons of each forgotten person's pairs with each stranger's the member wins, (people, unmet)."""
    ranked = np.sort(pairs.strangers)
    order = np.argsort(pairs.strangers, kind="stable")
    wins = np.zeros((pairs.people.max() + 1, pairs.unmet.max() + 1))
    below = np.searchsorted(ranked, pairs.members, side="left")
    up_to = np.searchsorted(ranked, pairs.members, side="right")
    # Row i: how many of each stranger's pairs are among the i lowest.
    lowest = np.zeros((len(ranked) + 1, wins.shape[1]))
    np.add.at(lowest, (np.arange(1, len(ranked) + 1), pairs.unmet[order]), 1.0)
    lowest = lowest.cumsum(axis=0)
    np.add.at(wins, pairs.people, (lowest[below] + lowest[up_to]) / 2)
    return wins


def interval(values: np.ndarray, strata: np.ndarray) -> Interval:
    """The 95 % t interval of a statistic from its jackknife over forgotten people and strangers, as strata.

    The jackknife over clusters agrees with the variance that Obuchowski derives for the AUC of clustered data ("Nonparametric
    Analysis of Clustered ROC Curve Data", 1997, https://doi.org/10.2307/2533958).

    Args:
        values: as :func:`auc` returns them, or the difference of two of them.
        strata: see :attr:`Pairs.strata`.

    Returns:
        The interval. Its ends and its p-value (of a true value of 0) are NaN where one person is forgotten.
    """
    error, degrees = jackknife.standard_error(values, strata)
    low, high = jackknife.interval(values, strata)
    return Interval(float(values[0]), low, high, error, int(degrees) + 1, degrees)


def tpr(pairs: Pairs, false_positives: float = FALSE_POSITIVES) -> float:
    """The share of the members above a threshold that at most this share of the non-members is above.

    Carlini et al., "Membership Inference Attacks From First Principles", 2022, https://arxiv.org/abs/2112.03570.

    Returns:
        0 to 1; NaN with fewer non-members than 1 / ``false_positives``, since none of them may be above the threshold then.
    """
    people, unmet = (np.ones((1, n)) for n in (pairs.people.max() + 1, pairs.unmet.max() + 1))
    return float(_tpr(pairs, people, unmet, false_positives)[0])


def tpr_interval(pairs: Pairs, false_positives: float = FALSE_POSITIVES, *, seed: int = 0) -> tuple[float, float]:
    """The ends of the 95 % percentile interval of :func:`tpr`; forgotten people and strangers are drawn with replacement.

    The threshold is drawn anew each time. The jackknife does not work for a threshold (Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, section 10.6, https://doi.org/10.1201/9780429246593).

    Returns:
        NaN where :func:`tpr` is, and with one person in either group.
    """
    random = np.random.default_rng(seed)
    drawn = []
    for n in (pairs.people.max() + 1, pairs.unmet.max() + 1):
        if n < 2:
            return float("nan"), float("nan")
        drawn.append(random.multinomial(n, np.full(n, 1 / n), size=RESAMPLES))
    values = _tpr(pairs, drawn[0], drawn[1], false_positives)
    if np.isnan(values).any():
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _tpr(pairs: Pairs, people: np.ndarray, unmet: np.ndarray, false_positives: float) -> np.ndarray:
    """The true positive rate of each draw, (draws,); ``people`` and ``unmet`` say how often each person is drawn, (draws, people)."""
    if len(pairs.strangers) * false_positives < 1:
        return np.full(len(people), np.nan)
    order = np.argsort(-pairs.strangers, kind="stable")
    above = unmet[:, pairs.unmet[order]].cumsum(axis=1)
    allowed = np.floor(false_positives * above[:, -1] + 1e-9)
    # The first pair, from the highest, that would make too many false positives is the threshold; what equals it is below.
    first = (above > allowed[:, None]).argmax(axis=1)
    thresholds = pairs.strangers[order][first]
    member = people[:, pairs.people]
    hits = (member * (pairs.members[None] > thresholds[:, None])).sum(axis=1)
    return np.asarray(hits / member.sum(axis=1))
