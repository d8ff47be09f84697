"""What each method sees, and the comparison of methods that see the same.

A method that reads retained pairs, or asks a retain-only model, can do more than one that reads the forget pairs alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from unsee.results.statistics import jackknife

#: What each entry of ``methods`` sees at each ratio in percent, by name, see :meth:`unsee.unlearning.method.Needs.sees`.
Sees = Mapping[str, Mapping[int, str]]

#: What the column ``sees`` means.
MEANING = """\
`sees` says what a method reads besides vanilla: `forget`, pairs (or names) of the people to forget; `retained pictures` or
`retained pairs` of the others; `retain-only`, the retain-only model.
"""
NOTE = f"""\
{MEANING.rstrip()} `best_alike` is the best of the methods that see the same, empty
where there is no other one; `p_against_best_alike` compares with it as `p_against_best` does with the best of all.
"""


def against_best_alike(
    values: np.ndarray, columns: Mapping[str, int], sees: Mapping[str, str | None], groups: np.ndarray
) -> dict[str, dict[str, object]]:
    """Compare the methods that see the same with the best of them.

    Args:
        values, groups: as for :func:`unsee.results.statistics.jackknife.p_against_best`.
        columns: the column of each method to compare, by name.
        sees: what each method sees at this ratio; one without a text is compared with none.

    Returns:
        ``best_alike`` and ``p_against_best_alike`` of each method that sees the same as another one; the best has no p-value.
    """
    alike: dict[str, dict[str, int]] = {}
    for name, column in columns.items():
        if (text := sees[name]) is not None:
            alike.setdefault(text, {})[name] = column
    rows: dict[str, dict[str, object]] = {}
    for members in alike.values():
        if len(members) < 2:
            continue
        best = max(members, key=lambda name: values[0, members[name]])
        p = jackknife.p_against_best(values, list(members.values()), groups)
        for name, column in members.items():
            rows[name] = {"best_alike": best, "p_against_best_alike": p.get(column, np.nan)}
    return rows


def at_ratio(sees: Sees, methods: Iterable[str], percent: int) -> dict[str, str | None]:
    """What each of some methods sees at one ratio; None for the reference models."""
    return {name: sees.get(name, {}).get(percent) for name in methods}


def of_table(table: pd.DataFrame) -> Sees:
    """What each method of a table with the columns ``method``, ``forget_percent`` and ``sees`` sees."""
    sees: dict[str, dict[int, str]] = {}
    for row in table[table["sees"].notna()].to_dict("records"):
        sees.setdefault(str(row["method"]), {})[int(row["forget_percent"])] = str(row["sees"])
    return sees


def legend(sees: Sees) -> Iterator[str]:
    """A line for each method: its name in backticks and what it sees, with the ratios where they differ."""
    for name, by_ratio in sees.items():
        ratios: dict[str, list[str]] = {}
        for percent, text in by_ratio.items():
            ratios.setdefault(text, []).append(f"{percent} %")
        same = len(ratios) == 1
        yield f"`{name}`: " + "; ".join(text if same else f"{text} ({', '.join(at)})" for text, at in ratios.items())


def as_list(lines: Sequence[str]) -> str:
    """The legend in Markdown, below a heading; empty without lines."""
    return (
        "\n".join(["\nWhat each method sees besides vanilla:\n", *(f"- {line}" for line in lines), ""]) if lines else ""
    )
