"""What a reader of the tables must know about the people of this run: a named request, a set without questions, a single person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from unsee.benchmarks.schema import SETS
from unsee.results.columns import FORGOTTEN

#: Why the tables have no cells for a set, where a reader may expect some.
_EMPTY = {
    "forget": "nobody to forget is asked about",
    "test": "the benchmark has no questions in other words",
    "retain": "nobody to retain is asked about",
    "celebrity": "the benchmark has no celebrities, so that utility is that of `retain` alone",
}


def remarks(items: pd.DataFrame, people_note: str = "") -> list[str]:
    """The remarks on a run, as sentences in Markdown.

    Args:
        items: one row for each run, question and metric, see :func:`unsee.results.tables.scores.gather`.
        people_note: what the ratio of a named request means (:mod:`unsee.jobs.forget_request`), and who is held out.
    """
    return [*([people_note] if people_note else []), *_empty_sets(items), *_single_people(items)]


def _empty_sets(items: pd.DataFrame) -> Iterator[str]:
    present = set(items["set"].astype(str))
    yield from (f"The columns of `{name}` are empty: {_EMPTY[name]}." for name in SETS if name not in present)


def _single_people(items: pd.DataFrame) -> Iterator[str]:
    forgotten = items[items["set"].isin(FORGOTTEN)]
    people = forgotten.groupby("forget_percent")["person_id"].nunique()
    if percents := [f"{percent} %" for percent, n in people.items() if n == 1]:
        yield (
            f"One person is forgotten ({', '.join(percents)}). Intervals and p-values compare people, so the scores of `forget` and "
            "`test` have none, and no difference between methods can be shown to be more than chance."
        )


def as_note(lines: Sequence[str]) -> str:
    """Remarks to stand above a table's note; empty without any."""
    lines = [line for line in lines if line]
    return "".join(f"{line}\n" for line in lines) + ("\n" if lines else "")
