"""Methods at equal utility: each unlearned model's update scaled between 0 (vanilla) and 1 (the whole update).

A method that was trained harder forgets more and keeps less, so single models say little about methods. Scaling the update gives
each method a curve without training (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022, section 3,
https://arxiv.org/abs/2109.01903).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from unsee.evaluation.scoring import score_predictions
from unsee.results.columns import BASELINES, REFERENCES, RunKey, in_order
from unsee.results.statistics import alike, jackknife
from unsee.results.statistics.differences import one_column_per_method

CURVE_COLUMNS = [
    *("model", "forget_percent", "method", "scale"),
    *("forgetting", "forgetting_low", "forgetting_high", "utility", "utility_low", "utility_high", "utility_kept"),
]
RANKING_COLUMNS = [
    *("model", "forget_percent", "method", "sees", "stopped_early"),
    *("forgetting", "forgetting_low", "forgetting_high", "p_against_best", "best_alike", "p_against_best_alike"),
    *("scale", "utility_kept"),
    *("area", "area_low", "area_high", "area_p_against_best"),
]
NOTE = """\
`forgetting` (0 to 1) says how far a model has come from vanilla to the retain-only model on the questions about the forgotten
people. `utility` is its knowledge of the other people (both as in summary.md), `utility_kept` its share of vanilla's utility.
A method's curve connects the models at each scale of its update, from 0 (vanilla) to 1 (the whole update), by straight lines, on the
same questions.
In the ranking `forgetting` is the most that a method reaches while `utility_kept` is at least the share in the heading, and `scale`
is where it reaches it. `area` (0 to 1) is the mean of the same over all shares from 0 to 1: it depends neither on one share nor on a
learning rate that was too high. `p_against_best` and `area_p_against_best` are p-values of being as good as the best method,
Holm-corrected over methods.
`stopped_early` marks a method that still keeps more than that share with its whole update: its curve ends before the place where
methods are compared, and with more steps or a higher rate it might have forgotten more. Such a method is not compared: it stands
below the others with what it had forgotten, without p-values at that share, and is never the best. Its `area` counts no more than
that.
A method whose whole update destroys the model is compared like the others, with the part of the update that keeps that share.
"""
#: The shares of vanilla's utility that the area is the mean over.
_SHARES = np.linspace(0, 1, 101)


def trade_off(
    items: pd.DataFrame,
    scaled: Mapping[RunKey, pd.DataFrame],
    share: float,
    methods: Sequence[str] | None = None,
    sees: alike.Sees | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute each method's curve and rank the methods at equal utility; see :data:`NOTE`.

    The base model has no place on a curve and is left out.

    Args:
        items: one row for each run, question and metric, ``vanilla`` and ``retain`` among the methods, see
            :func:`unsee.results.tables.scores.gather`.
        scaled: ``scale``, ``question_id``, ``metric`` and ``value`` of each run that was evaluated at other scales. Only the
            questions asked there count. Without any, all questions count, and a curve is a straight line.
        share: of vanilla's utility, 0 to 1, at which methods are compared.
        methods: the methods to compare, in order; by default all. A method whose update has no parts is not among them.
        sees: what each of them sees.

    Returns:
        The curves (trade_off.csv, with :data:`CURVE_COLUMNS`) and the ranking (ranking.csv, with :data:`RANKING_COLUMNS`), the best
        method first and those that stopped early last.

    Raises:
        ValueError: a run lacks a question that another run answered, at the same ratio.
    """
    if methods is not None:
        items = items[items["method"].isin([*BASELINES, *methods])]
    all_items, places = _with_scaled(items[items["method"] != "base"], scaled)
    order = [name for name in in_order(items["method"].unique().tolist(), methods or ()) if name not in REFERENCES]
    curves, ranking = [], []
    for model, percent, table in one_column_per_method(all_items):
        columns = [*BASELINES, *(name for name in places if name in table)]
        measured = jackknife.measure(table, columns)
        vanilla = columns.index("vanilla")
        points = [(name, np.nan, columns.index(name)) for name in BASELINES]
        paths = {}
        for method in order:
            path = sorted((scale, columns.index(name)) for name, (m, scale) in places.items() if m == method)
            if path:
                paths[method] = [(0.0, vanilla), *path]
                points += [(method, scale, column) for scale, column in paths[method]]
        for method, scale, column in points:
            curves.append(
                {"model": model, "forget_percent": percent, "method": method, "scale": scale}
                | _with_ends(measured, column)
                | {"utility_kept": _utility_kept(measured, vanilla)[0, column]}
            )
        ranked = _rank(measured, paths, share, vanilla, alike.at_ratio(sees or {}, paths, percent))
        ranking += [{"model": model, "forget_percent": percent} | row for row in ranked]
    return pd.DataFrame(curves, columns=CURVE_COLUMNS), pd.DataFrame(ranking, columns=RANKING_COLUMNS)


def score_rescaled(
    rescaled: pd.DataFrame, questions: pd.DataFrame, settings: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Score one run's answers at several scales.

    Args:
        rescaled: the run's rescaled.parquet.
        questions: the questions table.
        settings: as for :func:`unsee.evaluation.scoring.score_predictions`.

    Returns:
        ``scale``, ``question_id``, ``metric`` and ``value``.
    """
    rows = questions[questions["question_id"].isin(rescaled["question_id"])]
    return pd.concat(
        [score_predictions(part, rows, settings).assign(scale=scale) for scale, part in rescaled.groupby("scale")],
        ignore_index=True,
    )


def note(share: float, seeds: int) -> str:
    """What stands above the ranking in ranking.md; ``share`` as for :func:`trade_off`, ``seeds`` the number of training seeds."""
    return f"Methods at {100 * share:g} % of vanilla's utility.\n\n{definitions(seeds)}"


def definitions(seeds: int) -> str:
    """What the columns of the ranking mean, with this number of training seeds."""
    return NOTE + alike.NOTE + jackknife.interval_note(seeds)


def most_forgetting(
    utility: np.ndarray, forgetting: np.ndarray, level: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The most forgetting on curves where utility is at least ``level``.

    Args:
        utility, forgetting: (n, points) of n curves, with straight lines between points.
        level: of utility, for all curves or (n,).

    Returns:
        (n,) forgetting, and (n,) positions on the curves, from 0 at the first point to ``points - 1`` at the last. Both are NaN where
        a curve is below the level everywhere.
    """
    gap = utility - np.reshape(level, (-1, 1))
    start, end = gap[:, :-1], gap[:, 1:]
    crosses = start * end < 0
    part = np.divide(start, start - end, out=np.zeros_like(start), where=crosses)
    crossing = forgetting[:, :-1] + part * np.diff(forgetting, axis=1)
    values = np.concatenate([np.where(gap >= 0, forgetting, -np.inf), np.where(crosses, crossing, -np.inf)], axis=1)
    places = np.concatenate([np.broadcast_to(np.arange(gap.shape[1]), gap.shape), np.arange(part.shape[1]) + part], 1)
    best = values.argmax(axis=1)[:, None]  # of equal values the first, at the smallest scale
    most = np.take_along_axis(values, best, 1)[:, 0]
    nowhere = np.isneginf(most)
    return np.where(nowhere, np.nan, most), np.where(nowhere, np.nan, np.take_along_axis(places, best, 1)[:, 0])


def _with_scaled(
    items: pd.DataFrame, scaled: Mapping[RunKey, pd.DataFrame]
) -> tuple[pd.DataFrame, dict[str, tuple[str, float]]]:
    """The items with each scaled model as a method of its own, and the method and scale behind each name.

    Where a ratio was evaluated at several scales, only the questions asked there are left.
    """
    places = {name: (name, 1.0) for name in items["method"].unique() if name not in REFERENCES}
    question_ids = {percent: table["question_id"].unique() for (percent, _, _), table in scaled.items()}
    parts = []
    for key, part in items.astype({"method": str}).groupby(["forget_percent", "method", "seed"], sort=False):
        percent, method, seed = int(str(key[0])), str(key[1]), int(str(key[2]))
        if percent in question_ids:
            part = part[part["question_id"].isin(question_ids[percent])]
        parts.append(part)
        if (percent, method, seed) not in scaled:
            continue
        for scale, values in scaled[percent, method, seed].groupby("scale"):
            name = f"{method} at {scale}"
            places[name] = (method, float(str(scale)))
            without_values = part.drop(columns="value").astype({"question_id": str, "metric": str})
            at_scale = without_values.merge(values[["question_id", "metric", "value"]], on=["question_id", "metric"])
            parts.append(at_scale.assign(method=name))
    return pd.concat(parts, ignore_index=True), places


def _utility_kept(measured: jackknife.Measured, vanilla: int) -> np.ndarray:
    return jackknife.ratio(measured.utility, measured.utility[:, [vanilla]])


def _with_ends(measured: jackknife.Measured, column: int) -> dict[str, float]:
    row: dict[str, float] = {}
    for name, values in (("forgetting", measured.forgetting), ("utility", measured.utility)):
        low, high = jackknife.interval(values[:, column], measured.groups)
        row |= {name: float(values[0, column]), f"{name}_low": low, f"{name}_high": high}
    return row


def _rank(
    measured: jackknife.Measured,
    paths: Mapping[str, Sequence[tuple[float, int]]],
    share: float,
    vanilla: int,
    sees: Mapping[str, str | None],
) -> Iterator[dict[str, object]]:
    """The rows of the ranking at one ratio.

    Args:
        measured: every point of every curve.
        paths: the scales and columns of each method's curve.
        share: as for :func:`trade_off`.
        vanilla: the column of vanilla.
        sees: what each method sees.
    """
    if not paths:
        return
    kept = _utility_kept(measured, vanilla)
    at_share, area, places = [], [], {}
    for method, path in paths.items():
        columns = [column for _, column in path]
        curve = kept[:, columns], measured.forgetting[:, columns]
        most, place = most_forgetting(*curve, share)
        at_share.append(most)
        area.append(np.mean([most_forgetting(*curve, level)[0] for level in _SHARES], axis=0))
        steps = np.arange(len(path))
        places[method] = {
            "sees": sees[method],
            "stopped_early": stops_early(float(curve[0][0, -1]), share),
            "scale": float(np.interp(place[0], steps, [scale for scale, _ in path])),
            "utility_kept": float(np.interp(place[0], steps, curve[0][0])),
        }
    values = {"forgetting": np.stack(at_share, axis=1), "area": np.stack(area, axis=1)}
    compared = {method: i for i, method in enumerate(paths) if not places[method]["stopped_early"]}
    p = jackknife.p_against_best(values["forgetting"], list(compared.values()), measured.groups)
    area_p = jackknife.p_against_best(values["area"], range(len(paths)), measured.groups)
    best_alike = alike.against_best_alike(values["forgetting"], compared, sees, measured.groups)
    order = sorted(enumerate(paths), key=lambda one: (one[1] not in compared, -values["forgetting"][0, one[0]]))
    for i, method in order:
        row: dict[str, object] = {"method": method, **places[method], **best_alike.get(method, {})}
        for name, value in values.items():
            low, high = jackknife.interval(value[:, i], measured.groups)
            row |= {name: value[0, i], f"{name}_low": low, f"{name}_high": high}
        yield row | {"p_against_best": p.get(i, np.nan), "area_p_against_best": area_p.get(i, np.nan)}


def stops_early(utility_kept: float, share: float) -> bool:
    """Whether a method cannot be compared at a share of vanilla's utility, because its whole update keeps more than that.

    Args:
        utility_kept: the share of vanilla's utility that the whole update keeps, whatever is kept at smaller scales.
        share: as for :func:`trade_off`.
    """
    return utility_kept > share + 1e-9  # the same share, but for rounding, is reached
