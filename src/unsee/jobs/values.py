"""Values in an entry of ``methods`` that are not the same at every ratio, or that a search finds.

``learning_rate: {5: 0.001, 10: 0.0005, other: 0.0003}`` has a value for each ratio in percent, and one for all others.
``learning_rate: tuned`` has the value of the best trial at each ratio, see :mod:`unsee.jobs.tuning`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

#: The value of a key that the search of the settings finds.
TUNED = "tuned"
#: The key of the value at all ratios that have none of their own.
OTHER = "other"


def is_by_ratio(value: Any) -> bool:
    """Whether a value is a section with one value for each ratio."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(type(key) is int or key == OTHER for key in value)
        and not any(isinstance(part, Mapping) for part in value.values())
    )


def at(settings: Mapping[str, Any], forget_percent: int) -> dict[str, Any]:
    """The settings at one ratio.

    Raises:
        KeyError: a key has no value at this ratio.
    """
    return {key: _at(value, forget_percent) for key, value in settings.items()}


def without_value(settings: Mapping[str, Any], forget_percents: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Each key and ratio for which a value by ratio says nothing."""
    for key, value in settings.items():
        if is_by_ratio(value) and OTHER not in value:
            yield from ((key, percent) for percent in forget_percents if percent not in value)


def for_ratios(settings: Mapping[str, Any], forget_percents: Sequence[int]) -> dict[str, Any]:
    """The settings with the values that these ratios use, and no others."""
    return {
        key: {percent: _at(value, percent) for percent in sorted(forget_percents)} if is_by_ratio(value) else value
        for key, value in settings.items()
    }


def tuned_keys(settings: Mapping[str, Any]) -> list[str]:
    """The keys whose value the search finds."""
    return [key for key, value in settings.items() if value == TUNED]


def trials(grid: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """Every combination of a grid's values in its order, by name, such as ``learning_rate-0.001-beta-0.4``.

    The name is part of file names, so that a trial keeps its file when other values are added to the grid. The only trial
    of an empty grid is ``as-set``.
    """
    combinations = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    return {
        "-".join(f"{key}-{_name(value)}" for key, value in trial.items()) or "as-set": trial for trial in combinations
    }


def _name(value: Any) -> str:
    """A value without signs that a shell or a folder reads."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", str(value))


def _at(value: Any, forget_percent: int) -> Any:
    if not is_by_ratio(value):
        return value
    return value[forget_percent] if forget_percent in value else value[OTHER]
