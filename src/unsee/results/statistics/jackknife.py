"""Forgetting and utility of whole models, with intervals and p-values from the jackknife over people.

Both are computed from many means, so no simple formula gives their standard error. The jackknife computes them again without each
person in turn (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 11,
https://doi.org/10.1201/9780429246593).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from unsee.results.columns import FORGOTTEN, KEPT, METRICS, SCORE, is_metric
from unsee.results.statistics.differences import holm

#: The (task, metric) pairs that utility is the harmonic mean of, as in TOFU's model utility. ``truth`` is max(0, 1 - R), R the truth
#: ratio.
UTILITY = (("classification", "probability"), ("classification", "truth"), ("generation", "rouge_l"))


@dataclass(frozen=True)
class Measured:
    """Forgetting and utility of some methods, with everybody and without each person.

    Attributes:
        forgetting, utility: (1 + people, methods), 0 to 1; first with everybody, then without each person in turn.
        groups: (people,) the stratum of each person: 0 to forget, 1 celebrity, 2 retained.
    """

    forgetting: np.ndarray
    utility: np.ndarray
    groups: np.ndarray


def forgetting_metrics() -> list[tuple[str, str]]:
    """The (task, metric) pairs that forgetting is computed from."""
    return [(metric.task, metric.name) for metric in METRICS if metric.forgetting]


def measure(table: pd.DataFrame, methods: Sequence[str]) -> Measured:
    """Compute forgetting and utility of each method.

    Forgetting is 1 - sum |method - retain| / sum |vanilla - retain|, at least 0, over the means of :func:`forgetting_metrics` in each
    set of forgotten people and modality. It is this project's own.
    Utility is the harmonic mean over the means of :data:`UTILITY` in each set of kept people and modality. It follows the model
    utility of TOFU (Maini et al., 2024, section 2.2.1, https://arxiv.org/abs/2401.06121).

    Args:
        table: of one ratio, see :func:`unsee.results.statistics.differences.one_column_per_method`.
        methods: the columns to measure, ``vanilla`` and ``retain`` among them.
    """
    table = _with_truth(table, methods)
    n_people = int(table["person"].max()) + 1
    forgotten = table[table["set"].isin(FORGOTTEN) & is_metric(table, forgetting_metrics())]
    forgotten_means = _means(forgotten, methods, n_people)
    kept_means = _means(table[table["set"].isin(KEPT) & is_metric(table, UTILITY)], methods, n_people)
    groups = np.select(
        [
            np.isin(np.arange(n_people), forgotten["person"]),
            np.isin(np.arange(n_people), table.loc[table["set"] == "celebrity", "person"]),
        ],
        [0, 1],
        2,
    )
    forgetting = _forgetting(forgotten_means, methods.index("vanilla"), methods.index("retain"))
    return Measured(forgetting, harmonic_mean(kept_means), groups)


def interval(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """The ends of the 95 % t interval of ``values[0]``; NaN with too few people.

    Args:
        values, groups: as for :func:`standard_error`.
    """
    error, degrees = standard_error(values, groups)
    if degrees < 1 or np.isnan(error):
        return float("nan"), float("nan")
    half = float(stdtrit(degrees, 0.975)) * error
    return float(values[0]) - half, float(values[0]) + half


def p_against_best(values: np.ndarray, columns: Sequence[int], groups: np.ndarray) -> dict[int, float]:
    """Compare each method with the best one.

    Args:
        values: (1 + people, methods), high is good; see :class:`Measured`.
        columns: the methods to compare.
        groups: (people,) strata, see :func:`standard_error`.

    Returns:
        The Holm-corrected two-sided p-value by column, without the best method's.
    """
    if len(columns) < 2:
        return {}
    best = max(columns, key=lambda i: values[0, i])
    others = [i for i in columns if i != best]
    p = []
    for i in others:
        gap = values[:, best] - values[:, i]
        error, degrees = standard_error(gap, groups)
        if degrees < 1 or not error > 0:
            p.append(1.0 if degrees >= 1 and gap[0] == 0 else float("nan"))
        else:
            p.append(float(2 * stdtr(degrees, -gap[0] / error)))
    return dict(zip(others, holm(np.array(p)).tolist(), strict=True))


def standard_error(values: np.ndarray, groups: np.ndarray) -> tuple[float, int]:
    """The jackknife's standard error over strata of people.

    A stratum of n people adds (n - 1) / n times the sum of squared deviations of its values from their mean to the variance
    (Efron and Tibshirani, 1993, equation 11.5, for one stratum).

    Args:
        values: (1 + people,) a statistic with everybody, then without each person in turn.
        groups: (people,) the stratum of each person.

    Returns:
        The standard error, in the unit of ``values``, and the degrees of freedom: people of the smallest stratum minus 1.
    """
    variance, sizes = 0.0, []
    for group in np.unique(groups):
        part = values[1:][groups == group]
        sizes.append(len(part))
        variance += (len(part) - 1) / len(part) * float(((part - part.mean()) ** 2).sum())
    return float(np.sqrt(variance)), min(sizes) - 1


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """``above / below``; 0 where ``below`` is 0."""
    out = np.zeros(np.broadcast(above, below).shape)
    np.divide(above, below, out=out, where=below > 0)
    return out


def harmonic_mean(parts: np.ndarray) -> np.ndarray:
    """The harmonic mean over axis 1; 0 where a part is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(1 / (1 / parts).mean(axis=1))


def _means(table: pd.DataFrame, methods: Sequence[str], n_people: int) -> np.ndarray:
    """Means of each set, modality, task and metric: (1 + people, cells, methods), with everybody, then without each person."""
    cells = table.groupby(list(SCORE), observed=True).ngroup().to_numpy()
    people = table["person"].to_numpy()
    sums = np.zeros((n_people, cells.max() + 1, len(methods)))
    counts = np.zeros((n_people, cells.max() + 1))
    np.add.at(sums, (people, cells), table[list(methods)].to_numpy(dtype=float))
    np.add.at(counts, (people, cells), 1)
    total, n = sums.sum(axis=0), counts.sum(axis=0)[:, None]
    with np.errstate(invalid="ignore"):  # a cell of a single person
        without = (total - sums) / (n - counts[:, :, None])
    return np.concatenate([(total / n)[None], without])


def _with_truth(table: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """The table with rows of the metric ``truth`` added: max(0, 1 - R) for each truth ratio, stored as R / (1 + R)."""
    ratios = table[table["metric"] == "truth_ratio"].astype({"metric": str})
    values = ratios[list(methods)].to_numpy(dtype=float)
    with np.errstate(divide="ignore"):
        ratios[list(methods)] = np.maximum(0.0, 1 - values / (1 - values))
    return pd.concat([table.astype({"metric": str}), ratios.assign(metric="truth")], ignore_index=True)


def _forgetting(means: np.ndarray, vanilla: int, retain: int) -> np.ndarray:
    """(1 + people, methods), from the means (1 + people, cells, methods)."""
    distance = np.abs(means - means[:, :, [retain]]).sum(axis=1)
    return np.asarray(np.maximum(0.0, 1 - ratio(distance, distance[:, [vanilla]])))
