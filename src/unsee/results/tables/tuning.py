"""The search of the methods' settings (tuning.csv): every trial, judged on people who are not reported, and the best of each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from unsee.results.statistics import alike, jackknife
from unsee.results.statistics.differences import one_column_per_method
from unsee.results.tables.summary import combine

#: The column of the table by which trials are ranked.
CRITERION = "combined"
#: A trial is tied with the best one unless a test at this level tells them apart.
LEVEL = 0.05
COLUMNS = [
    *("model", "forget_percent", "method", "sees", "trial", "settings", "rank", "selected", "diverged"),
    *("criterion", "value", "value_low", "value_high", "p_against_best", "tied"),
    *("forgetting", "utility_kept", "trials", "edge"),
]
#: Columns of numbers that a trial may lack.
NUMBERS = ("value_low", "value_high", "forgetting", "utility_kept")
NOTE = (
    """\
Each row is one trial: a model unlearned with these settings, about people who are in no other table, and asked about them.
`value` is the criterion of the selection, `combined` of the summary on those people: the harmonic mean of `forgetting` (towards the
retain-only model) and `utility_kept`, 0 to 1. Its 95 % interval is from the jackknife over people.
`rank` is 1 for the best trial; of equals the first is `selected`. `p_against_best` is the p-value of being as good as the selected
trial, Holm-corrected over trials (empty without spread between people); `tied` marks those that cannot be told from it at 5 %.
`trials` is the number of trials of each method at each ratio.
`edge` names the settings in which the selected trial has the lowest or the highest value that was tried: widen the grid there.
`diverged` marks trials whose loss or model was not finite: their value is 0, they rank behind all others and are never selected.
"""
    + alike.MEANING
)


def rank_trials(
    items: pd.DataFrame, trials: Mapping[str, Mapping[str, Any]], sees: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Judge the trials of one method at one ratio.

    Args:
        items: one row for each question and metric of every trial, and of ``vanilla`` and ``retain``; ``method`` is the name of
            the trial. See :func:`unsee.results.tables.scores.gather`. Those of a trial that has diverged are missing.
        trials: the values that each trial tries, by its name, in the order of the grid.
        sees: what each trial sees, see :mod:`unsee.results.statistics.alike`.

    Returns:
        One row for each trial in this order, with :data:`COLUMNS` but ``method``.

    Raises:
        ValueError: a trial lacks a question that another one answered; there is more than one model or ratio.
    """
    ((model, percent, table),) = one_column_per_method(items)
    names = [name for name in trials if name in table]
    measured = jackknife.measure(table, ["vanilla", "retain", *names])
    utility_kept, combined = combine(measured, retain=1)
    columns = {name: column for column, name in enumerate(names, start=2)}
    values = {name: float(combined[0, column]) for name, column in columns.items()}
    best = max(names, key=lambda name: values[name], default=None)
    p = jackknife.p_against_best(combined, list(columns.values()), measured.groups)
    rows = []
    for i, (name, tried) in enumerate(trials.items()):
        row: dict[str, object] = {
            "model": model,
            "forget_percent": percent,
            "sees": (sees or {}).get(name),
            "trial": i + 1,
            "settings": ", ".join(f"{key} {_text(value)}" for key, value in tried.items()) or name,
            "rank": 1 + len(names),
            "selected": name == best,
            "diverged": name not in columns,
            "criterion": CRITERION,
            "value": 0.0,
            "tied": False,
            "trials": len(trials),
            "edge": edge(list(trials.values()), i) if name == best else "",
        }
        if name in columns and best is not None:
            column, value = columns[name], values[name]
            low, high = jackknife.interval(combined[:, column], measured.groups)
            row |= {
                "rank": 1 + sum(other > value for other in values.values()),
                **{"value": value, "value_low": low, "value_high": high},
                "p_against_best": p.get(column, np.nan),
                "tied": name != best and (p[column] >= LEVEL or value == values[best]),
                "forgetting": measured.forgetting[0, column],
                "utility_kept": utility_kept[0, column],
            }
        rows.append(row)
    return pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "method"])


def edge(trials: Sequence[Mapping[str, Any]], best: int) -> str:
    """The settings in which the best trial has the lowest or the highest number that was tried; empty if none.

    Args:
        trials: the values that each trial tries, by key.
        best: the position of the best one.
    """
    words = []
    for key, value in trials[best].items():
        tried = {trial[key] for trial in trials}
        if len(tried) > 1 and all(isinstance(number, int | float) and not isinstance(number, bool) for number in tried):
            words += [f"lowest {key}"] if value == min(tried) else []
            words += [f"highest {key}"] if value == max(tried) else []
    return ", ".join(words)


def selection(ranked: pd.DataFrame, trials: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a run that takes the best trial's settings reads: the settings, none if all have diverged, and how they were selected.

    Args:
        ranked: the table of :func:`rank_trials`.
        trials: as there.
    """
    best = [dict(tried) for tried, selected in zip(trials.values(), ranked["selected"], strict=True) if selected]
    return {"settings": best[0] if best else {}, "criterion": CRITERION, "trials": len(trials)}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
