"""Forgetting and utility of whole models, and how sure they are: everything again without each person in turn.

Both are made of many means, so that no formula gives their spread; the jackknife does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from unsee.results.statistics.differences import FORGOTTEN, holm

KEPT = ("retain", "celebrity")
#: What forgetting is made of: (task, metric).
SHOWN = (("classification", "accuracy"), ("generation", "rouge_l"), ("cloze", "accuracy"))
#: What utility is made of.
UTILITY = (("classification", "probability"), ("classification", "truth"), ("generation", "rouge_l"))


@dataclass(frozen=True)
class Measured:
    """Of everybody in the first row, then without each person: (1 + people, methods); ``groups`` are strata, (people,)."""

    forgetting: np.ndarray
    utility: np.ndarray
    groups: np.ndarray


def measure(table: pd.DataFrame, methods: Sequence[str]) -> Measured:
    """Forgetting and utility of each method, as :data:`unsee.results.tables.summary.NOTE` defines them.

    Args:
        table: of one ratio, as :func:`unsee.results.statistics.differences.one_column_per_method` gives it.
        methods: its columns to measure, with ``vanilla`` and ``retain``.
    """
    table = _with_truth(table, methods)
    n_people = int(table["person"].max()) + 1
    of_forgotten = table[chosen(table, FORGOTTEN, SHOWN)]
    forget = _means(of_forgotten, methods, n_people)
    kept = _means(table[chosen(table, KEPT, UTILITY)], methods, n_people)
    groups = np.select(
        [
            np.isin(np.arange(n_people), of_forgotten["person"]),
            np.isin(np.arange(n_people), table.loc[table["set"] == "celebrity", "person"]),
        ],
        [0, 1],
        2,
    )
    forgetting = _forgetting(forget, methods.index("vanilla"), methods.index("retain"))
    return Measured(forgetting, harmonic(kept), groups)


def interval(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """The ends of a 95 % interval for ``values[0]``; NaN with too few people."""
    error, degrees = standard_error(values, groups)
    if degrees < 1 or np.isnan(error):
        return float("nan"), float("nan")
    half = float(stdtrit(degrees, 0.975)) * error
    return float(values[0]) - half, float(values[0]) + half


def p_against_best(values: np.ndarray, own: Sequence[int], groups: np.ndarray) -> dict[int, float]:
    """Holm-corrected p-value of each method's value against the best method's; none for the best.

    Args:
        values: (1 + people, methods), high is good.
        own: the columns to compare.
        groups: (people,).
    """
    if len(own) < 2:
        return {}
    best = max(own, key=lambda i: values[0, i])
    others = [i for i in own if i != best]
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
    """The jackknife's, and its degrees of freedom: those of the smallest group, who are those to forget.

    Args:
        values: (1 + people,) the statistic of everybody, then without each person.
        groups: (people,) the stratum of each: to forget, celebrity, others.
    """
    variance, sizes = 0.0, []
    for group in np.unique(groups):
        part = values[1:][groups == group]
        sizes.append(len(part))
        variance += (len(part) - 1) / len(part) * float(((part - part.mean()) ** 2).sum())
    return float(np.sqrt(variance)), min(sizes) - 1


def chosen(table: pd.DataFrame, sets: Sequence[str], kinds: Sequence[tuple[str, str]]) -> pd.Series:
    """Which rows are of these sets and (task, metric) pairs."""
    names = table["task"].astype(str) + "/" + table["metric"].astype(str)
    return table["set"].isin(sets) & names.isin([f"{task}/{metric}" for task, metric in kinds])


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Their ratio; 0 where there is nothing to compare with."""
    out = np.zeros(np.broadcast(above, below).shape)
    np.divide(above, below, out=out, where=below > 0)
    return out


def harmonic(parts: np.ndarray) -> np.ndarray:
    """Harmonic mean over axis 1; 0 where a part is."""
    with np.errstate(divide="ignore"):
        return np.asarray(1 / (1 / parts).mean(axis=1))


def _means(table: pd.DataFrame, methods: Sequence[str], n_people: int) -> np.ndarray:
    """Means of each cell: (1 + people, cells, methods), of everybody, then without each person in turn."""
    cells = table.groupby(["set", "modality", "task", "metric"], observed=True).ngroup().to_numpy()
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
    """The table and, as metric ``truth``, max(0, 1 - R) of every truth ratio R / (1 + R)."""
    ratios = table[table["metric"] == "truth_ratio"].astype({"metric": str})
    values = ratios[list(methods)].to_numpy(dtype=float)
    with np.errstate(divide="ignore"):
        ratios[list(methods)] = np.maximum(0.0, 1 - values / (1 - values))
    return pd.concat([table.astype({"metric": str}), ratios.assign(metric="truth")], ignore_index=True)


def _forgetting(means: np.ndarray, vanilla: int, retain: int) -> np.ndarray:
    """(1 + people, methods), from cell means (1 + people, cells, methods)."""
    distance = np.abs(means - means[:, :, [retain]]).sum(axis=1)
    return np.asarray(np.maximum(0.0, 1 - ratio(distance, distance[:, [vanilla]])))
