"""Forgetting and utility of whole models, with intervals and p-values from the jackknife over people and seeds.

Both are computed from many means, so no simple formula gives their standard error. The jackknife computes them again without each
person in turn, and with several training seeds without each seed in turn (Efron and Tibshirani, "An Introduction to the Bootstrap",
1993, chapter 11, https://doi.org/10.1201/9780429246593).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from unsee.evaluation.metrics import UTILITY
from unsee.results.columns import FORGOTTEN, KEPT, METRICS, SCORE, is_metric
from unsee.results.statistics.differences import holm

#: The metrics that :data:`UTILITY` is computed from.
_UTILITY_MEASURED = (("classification", "probability"), ("classification", "truth_ratio"), ("generation", "rouge_l"))


@dataclass(frozen=True)
class Measured:
    """Forgetting and utility of some methods, with everybody and without each person.

    Attributes:
        forgetting, utility: (rows, methods), 0 to 1; first with everything, then without each person in turn, then with several
            seeds without each seed in turn.
        groups: (people,) the stratum of each person: 0 to forget, 1 celebrity, 2 retained.
    """

    forgetting: np.ndarray
    utility: np.ndarray
    groups: np.ndarray


def forgetting_metrics() -> list[tuple[str, str]]:
    """The (task, metric) pairs that forgetting is computed from."""
    return [(metric.task, metric.name) for metric in METRICS if metric.forgetting]


def interval_note(seeds: int) -> str:
    """What a table's intervals and p-values hold, for its note; ``seeds`` is the number of training seeds."""
    if seeds > 1:
        return (
            f"Intervals are 95 %, from the jackknife over people and over {seeds} training seeds: the two variances are added. "
            "So few seeds say little about the spread between seeds, and where it is large, intervals are wide.\n"
        )
    return (
        "Intervals are 95 %, from the jackknife over people. There is one training seed: the spread between seeds is missing from "
        "intervals and p-values.\n"
    )


def measure(table: pd.DataFrame, methods: Sequence[str]) -> Measured:
    """Compute forgetting and utility of each method.

    Forgetting is 1 - sum |method - retain| / sum |vanilla - retain|, at least 0, over the means of :func:`forgetting_metrics` in each
    set of forgotten people and modality. It is this project's own.
    Utility is the harmonic mean over the means of :data:`~unsee.evaluation.metrics.UTILITY` in each set of kept people and
    modality. It follows the model utility of TOFU (Maini et al., 2024, section 2.2.1, https://arxiv.org/abs/2401.06121).

    Args:
        table: of one ratio, see :func:`unsee.results.statistics.differences.one_column_per_method`.
        methods: the columns to measure, ``vanilla`` and ``retain`` among them.
    """
    table = _with_truth(table, methods)
    n_people = int(table["person"].max()) + 1
    table["seed"] = np.unique(table["seed"], return_inverse=True)[1]
    n_seeds = int(table["seed"].max()) + 1
    forgotten = table[table["set"].isin(FORGOTTEN) & is_metric(table, forgetting_metrics())]
    forgotten_means = _means(forgotten, methods, n_people, n_seeds)
    kept_means = _means(table[table["set"].isin(KEPT) & is_metric(table, UTILITY)], methods, n_people, n_seeds)
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


def utilities(table: pd.DataFrame, methods: Sequence[str]) -> np.ndarray:
    """The utility of each method, see :func:`measure`; NaN where the table lacks a metric that it is made of.

    Args:
        table, methods: as for :func:`measure`.
    """
    kept = table[table["set"].isin(KEPT)]
    measured = set(zip(kept["task"].astype(str), kept["metric"].astype(str), strict=True))
    if not {*_UTILITY_MEASURED} <= measured:
        return np.full(len(methods), np.nan)
    kept = _with_truth(kept, methods)
    means = kept[is_metric(kept, UTILITY)].groupby(list(SCORE), observed=True)[list(methods)].mean()
    utilities: np.ndarray = harmonic_mean(means.to_numpy()[None])[0]
    return utilities


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
        values: (rows, methods), high is good; see :class:`Measured`.
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


def standard_error(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """The jackknife's standard error over strata of people, and over seeds.

    A stratum of n people adds (n - 1) / n times the sum of squared deviations of its values from their mean to the variance
    (Efron and Tibshirani, 1993, equation 11.5, for one stratum). The seeds add their variance likewise: a model is trained once for
    each seed, and what the seed decides is common to all people.
    What neither person nor seed decides is in both parts, so that intervals are a little wide where seeds do not differ. In
    simulations with 5 to 20 people and 3 seeds (tests/results/test_jackknife.py) 93 to 98 % of them hold the true value. Two-way
    clustering, which subtracts it, falls to 90 %, because so few seeds determine the spread between seeds poorly.
    The degrees of freedom of the sum follow Satterthwaite (1946, https://doi.org/10.2307/3002019).

    Args:
        values: (rows,) a statistic with everything, then without each person in turn, then without each seed in turn, if there are
            several.
        groups: (people,) the stratum of each person.

    Returns:
        The standard error, in the unit of ``values``, and the degrees of freedom: with one seed the people of the smallest stratum
        minus 1.
    """
    without_person, without_seed = np.split(values[1:], [len(groups)])
    strata = [without_person[groups == group] for group in np.unique(groups)]
    of_people, degrees = sum(map(_variance, strata)), min(map(len, strata)) - 1.0
    of_seeds = _variance(without_seed) if len(without_seed) else 0.0
    total = of_people + of_seeds
    if degrees >= 1 and of_seeds > 0:
        degrees = total**2 / (of_people**2 / degrees + of_seeds**2 / (len(without_seed) - 1))
    return float(np.sqrt(total)), degrees


def _variance(values: np.ndarray) -> float:
    """The jackknife's variance of a statistic, from its values without each member of a group in turn."""
    return (len(values) - 1) / len(values) * float(((values - values.mean()) ** 2).sum())


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """``above / below``; 0 where ``below`` is 0."""
    out = np.zeros(np.broadcast(above, below).shape)
    np.divide(above, below, out=out, where=below > 0)
    return out


def harmonic_mean(parts: np.ndarray) -> np.ndarray:
    """The harmonic mean over axis 1; 0 where a part is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(1 / (1 / parts).mean(axis=1))


def _means(table: pd.DataFrame, methods: Sequence[str], n_people: int, n_seeds: int) -> np.ndarray:
    """Means of each set, modality, task and metric: (rows, cells, methods), with the rows of :class:`Measured`."""
    cells = table.groupby(list(SCORE), observed=True).ngroup().to_numpy()
    values = table[list(methods)].to_numpy(dtype=float)
    left_out = [(table["person"].to_numpy(), n_people)]
    left_out += [(table["seed"].to_numpy(), n_seeds)] if n_seeds > 1 else []
    parts: list[np.ndarray] = []
    for members, size in left_out:
        sums, counts = np.zeros((size, cells.max() + 1, len(methods))), np.zeros((size, cells.max() + 1, 1))
        np.add.at(sums, (members, cells), values)
        np.add.at(counts, (members, cells), 1)
        total, n = sums.sum(axis=0), counts.sum(axis=0)
        parts += [] if parts else [(total / n)[None]]
        with np.errstate(invalid="ignore"):  # a cell of a single person
            parts.append((total - sums) / (n - counts))
    return np.concatenate(parts)


def _with_truth(table: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """The table with rows of the metric ``truth`` added: max(0, 1 - R) for each truth ratio, stored as R / (1 + R)."""
    ratios = table[table["metric"] == "truth_ratio"].astype({"metric": str})
    values = ratios[list(methods)].to_numpy(dtype=float)
    with np.errstate(divide="ignore"):
        ratios[list(methods)] = np.maximum(0.0, 1 - values / (1 - values))
    return pd.concat([table.astype({"metric": str}), ratios.assign(metric="truth")], ignore_index=True)


def _forgetting(means: np.ndarray, vanilla: int, retain: int) -> np.ndarray:
    """(rows, methods), from the means (rows, cells, methods)."""
    distance = np.abs(means - means[:, :, [retain]]).sum(axis=1)
    return np.asarray(np.maximum(0.0, 1 - ratio(distance, distance[:, [vanilla]])))
