"""Methods at equal utility: each unlearned model's update scaled between nothing (vanilla) and all of it.

A method that was trained harder forgets more and keeps less, so that single models say little about methods. Scaling the
update (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022, section 3) gives each a curve at no training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from unsee.evaluation.scoring import score_predictions
from unsee.results.statistics import jackknife
from unsee.results.statistics.differences import BASELINES, wide

CURVE_COLUMNS = [
    *("model", "forget_percent", "method", "scale"),
    *("forgetting", "forgetting_low", "forgetting_high", "utility", "utility_low", "utility_high", "utility_kept"),
]
RANKING_COLUMNS = [
    *("model", "forget_percent", "method"),
    *("forgetting", "forgetting_low", "forgetting_high", "p_to_best", "scale", "utility_kept"),
    *("area", "area_low", "area_high", "area_p_to_best"),
]
NOTE = """\
`forgetting` (0 to 1) is how far a model has come from vanilla to the retain-only model on what is asked about the forgotten
people; `utility` is what it knows of the others (both as in summary.md), `utility_kept` its share of vanilla's. A method's curve runs
through its update times each scale, from 0 (vanilla) to 1 (the model), straight between them, on the same questions.
In the ranking `forgetting` is the most that a method reaches with `utility_kept` of at least the share that is asked for, at
`scale`. `area` (0 to 1) is the mean of that over all shares from 0 to 1: it does not hang on one of them, nor on a learning rate that was
too high. `p_to_best` and `area_p_to_best`: p-values of being as good as the best method, Holm-corrected over methods.
Intervals are 95 %, by leaving out one person at a time (jackknife); they know nothing of the spread between seeds.
"""
#: Shares of vanilla's utility that the area is the mean over.
_SHARES = np.linspace(0, 1, 101)

Run = tuple[int, str, int]


def trade_off(
    items: pd.DataFrame, scaled: Mapping[Run, pd.DataFrame], share: float, methods: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The curves (trade_off.csv) and what they say of the methods (ranking.csv, the best first); see ``NOTE``.

    Args:
        items: as :func:`unsee.results.tables.scores.gather` gives them, with ``vanilla`` and ``retain``.
        scaled: ``scale``, ``question_id``, ``metric`` and ``value`` of each run that was asked at other scales, by (ratio,
            method, seed). Only the questions asked there count; without any, all do, and a curve is a line.
        share: of vanilla's utility, at which methods are compared; 0 to 1.
        methods: in the order of the curves; others stand behind.

    Raises:
        ValueError: a run that was not asked what another was, at the same ratio.
    """
    together, names = _with_scaled(items, scaled)
    order = [name for name in dict.fromkeys([*methods, *items["method"].unique()]) if name not in BASELINES]
    curves, ranking = [], []
    for model, percent, table in wide(together):
        columns = [*BASELINES, *(name for name in names if name in table)]
        found = jackknife.measure(table, columns)
        gold, rows = {}, []
        for method in BASELINES:
            gold[method] = columns.index(method)
            rows.append((method, np.nan, gold[method]))
        paths = {}
        for method in order:
            own = sorted((scale, columns.index(name)) for name, (m, scale) in names.items() if m == method)
            if own:
                paths[method] = [(0.0, gold["vanilla"]), *own]
                rows += [(method, scale, column) for scale, column in paths[method]]
        for method, scale, column in rows:
            curves.append(
                {"model": model, "forget_percent": percent, "method": method, "scale": scale}
                | _ends(found, column)
                | {"utility_kept": _kept(found, gold["vanilla"])[0, column]}
            )
        ranking += list(_rank(model, percent, found, paths, share, gold["vanilla"]))
    return pd.DataFrame(curves, columns=CURVE_COLUMNS), pd.DataFrame(ranking, columns=RANKING_COLUMNS)


def score_rescaled(
    rescaled: pd.DataFrame, questions: pd.DataFrame, settings: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """``scale``, ``question_id``, ``metric`` and ``value`` of one run's answers at several scales.

    Args:
        rescaled: rescaled.parquet.
        questions: the questions table.
        settings: as for :func:`unsee.evaluation.scoring.score_predictions`.
    """
    asked = questions[questions["question_id"].isin(rescaled["question_id"])]
    return pd.concat(
        [score_predictions(part, asked, settings).assign(scale=scale) for scale, part in rescaled.groupby("scale")],
        ignore_index=True,
    )


def to_markdown(ranking: pd.DataFrame, share: float) -> str:
    """The ranking to read, with its definitions."""
    shown = ranking[[name for name in RANKING_COLUMNS if not name.endswith(("_low", "_high"))]].copy()
    for name in ("forgetting", "area"):
        ends = zip(ranking[name], ranking[f"{name}_low"], ranking[f"{name}_high"], strict=True)
        shown[name] = [f"{v:.2f}" if np.isnan(low) else f"{v:.2f} ({low:.2f} to {high:.2f})" for v, low, high in ends]
    shown = shown.astype(object).where(shown.notna(), None)
    head = f"Methods at {100 * share:g} % of vanilla's utility.\n\n{NOTE}"
    return f"{head}\n{shown.to_markdown(index=False, floatfmt='.3f', missingval='–')}\n"


def reached(utility: np.ndarray, forgetting: np.ndarray, level: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most forgetting on a curve where utility is at least ``level``, and how far along the curve that is.

    Args:
        utility, forgetting: (n, points) of n curves, straight between points.
        level: of utility; one, or one a curve.

    Returns:
        (n,) forgetting and (n,) places, 0 at the first point and ``points - 1`` at the last; NaN where a curve is nowhere so high.
    """
    gap = utility - np.reshape(level, (-1, 1))
    start, end = gap[:, :-1], gap[:, 1:]
    crosses = start * end < 0
    part = np.divide(start, start - end, out=np.zeros_like(start), where=crosses)
    crossing = forgetting[:, :-1] + part * np.diff(forgetting, axis=1)
    values = np.concatenate([np.where(gap >= 0, forgetting, -np.inf), np.where(crosses, crossing, -np.inf)], axis=1)
    places = np.concatenate([np.broadcast_to(np.arange(gap.shape[1]), gap.shape), np.arange(part.shape[1]) + part], 1)
    best = values.argmax(axis=1)[:, None]  # the first of equals: the smallest scale
    most = np.take_along_axis(values, best, 1)[:, 0]
    nowhere = np.isneginf(most)
    return np.where(nowhere, np.nan, most), np.where(nowhere, np.nan, np.take_along_axis(places, best, 1)[:, 0])


def _with_scaled(
    items: pd.DataFrame, scaled: Mapping[Run, pd.DataFrame]
) -> tuple[pd.DataFrame, dict[str, tuple[str, float]]]:
    """The items of the questions asked at every scale, each scaled model as a method, and what these are called."""
    names = {name: (name, 1.0) for name in items["method"].unique() if name not in BASELINES}
    asked = {percent: table["question_id"].unique() for (percent, _, _), table in scaled.items()}
    parts = []
    for key, part in items.astype({"method": str}).groupby(["forget_percent", "method", "seed"], sort=False):
        percent, method, seed = int(str(key[0])), str(key[1]), int(str(key[2]))
        if percent in asked:
            part = part[part["question_id"].isin(asked[percent])]
        parts.append(part)
        if (percent, method, seed) not in scaled:
            continue
        for scale, values in scaled[percent, method, seed].groupby("scale"):
            name = f"{method} at {scale}"
            names[name] = (method, float(str(scale)))
            known = part.drop(columns="value").astype({"question_id": str, "metric": str})
            found = known.merge(values[["question_id", "metric", "value"]], on=["question_id", "metric"])
            parts.append(found.assign(method=name))
    return pd.concat(parts, ignore_index=True), names


def _kept(found: jackknife.Measured, vanilla: int) -> np.ndarray:
    return jackknife.ratio(found.utility, found.utility[:, [vanilla]])


def _ends(found: jackknife.Measured, column: int) -> dict[str, float]:
    row: dict[str, float] = {}
    for name, values in (("forgetting", found.forgetting), ("utility", found.utility)):
        low, high = jackknife.interval(values[:, column], found.groups)
        row |= {name: float(values[0, column]), f"{name}_low": low, f"{name}_high": high}
    return row


def _rank(
    model: str,
    percent: int,
    found: jackknife.Measured,
    paths: Mapping[str, Sequence[tuple[float, int]]],
    share: float,
    vanilla: int,
) -> Iterator[dict[str, object]]:
    if not paths:
        return
    kept = _kept(found, vanilla)
    at_share, area, where = [], [], {}
    for method, path in paths.items():
        columns = [column for _, column in path]
        curve = kept[:, columns], found.forgetting[:, columns]
        most, place = reached(*curve, share)
        at_share.append(most)
        area.append(np.mean([reached(*curve, level)[0] for level in _SHARES], axis=0))
        steps = np.arange(len(path))
        where[method] = (
            float(np.interp(place[0], steps, [scale for scale, _ in path])),
            float(np.interp(place[0], steps, curve[0][0])),
        )
    values = {"forgetting": np.stack(at_share, axis=1), "area": np.stack(area, axis=1)}
    p = {name: jackknife.to_best(both, range(len(paths)), found.groups) for name, both in values.items()}
    for i in np.argsort(-values["forgetting"][0], kind="stable").tolist():
        method = list(paths)[i]
        row: dict[str, object] = {"model": model, "forget_percent": percent, "method": method}
        for name, both in values.items():
            row[name], (row[f"{name}_low"], row[f"{name}_high"]) = (
                both[0, i],
                jackknife.interval(both[:, i], found.groups),
            )
        scale, at = where[method]
        yield row | {
            "p_to_best": p["forgetting"].get(i, np.nan),
            "area_p_to_best": p["area"].get(i, np.nan),
            "scale": scale,
            "utility_kept": at,
        }
