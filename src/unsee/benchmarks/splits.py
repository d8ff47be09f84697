"""The people to forget at a ratio, and the evaluation set that each question then belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import pandas as pd
import pyarrow as pa

from unsee.benchmarks.rows import split_rows
from unsee.benchmarks.schema import SPLITS, BenchmarkError


def draw_forget_set(person_ids: Sequence[str], forget_percent: int, seed: int) -> set[str]:
    """Draw the people to forget at a ratio. Each ratio is drawn independently, so the sets of two ratios are not nested.

    Raises:
        BenchmarkError: no person would be left to forget or to retain.
    """
    n = round(len(person_ids) * forget_percent / 100)
    if not 0 < n < len(person_ids):
        raise BenchmarkError(
            f"forget_percents: {forget_percent} % of {len(person_ids)} people is {n}; expected at least one person to "
            "forget and one to retain"
        )
    return set(Random(f"{seed}:forget:{forget_percent}").sample(sorted(person_ids), n))


def draw_split_table(person_ids: Sequence[str], forget_percent: int, seed: int) -> pa.Table:
    """The splits table for one ratio of a benchmark that publishes none.

    Raises:
        BenchmarkError: as :func:`draw_forget_set`.
    """
    forgotten = draw_forget_set(person_ids, forget_percent, seed)
    retained = set(person_ids) - forgotten
    rows = split_rows(forget_percent, "forget", forgotten) + split_rows(forget_percent, "retain", retained)
    return pa.Table.from_pylist(rows, SPLITS)


def request_split_table(person_ids: Sequence[str], forget_percent: int, request: Sequence[str]) -> pa.Table:
    """The splits table of a named request, which is shown as one ratio.

    Args:
        person_ids: all people to learn.
        forget_percent: the ratio that stands for the request.
        request: the ids of the people to forget.

    Raises:
        BenchmarkError: a person does not exist, or no person would be left to retain.
    """
    if unknown := sorted(set(request) - set(person_ids)):
        raise BenchmarkError(
            f"benchmark.forget: {unknown[0]!r} is nobody of the benchmark ({len(unknown)} such ids); expected ids such as "
            f"{min(person_ids)!r}, see people.parquet"
        )
    retained = set(person_ids) - set(request)
    if not retained:
        raise BenchmarkError(f"benchmark.forget: names all {len(person_ids)} people; expected at least one to retain")
    rows = split_rows(forget_percent, "forget", set(request)) + split_rows(forget_percent, "retain", retained)
    return pa.Table.from_pylist(rows, SPLITS)


def assign_sets(questions: pd.DataFrame, splits: pd.DataFrame, forget_percent: int) -> pd.Series:
    """The evaluation set of each question at a ratio.

    Args:
        questions: ``person_id`` and ``origin`` of each question.
        splits: the splits table.
        forget_percent: the ratio.

    Returns:
        ``forget``, ``test``, ``retain``, ``celebrity``, or None for the test questions of retained people; aligned
        with ``questions``.

    Raises:
        BenchmarkError: the ratio is not in the splits table.
    """
    here = splits[splits["forget_percent"] == forget_percent]
    if here.empty:
        percents = sorted(splits["forget_percent"].unique().tolist())
        raise BenchmarkError(f"splits: no people at {forget_percent} %; expected one of {percents}")
    forgotten = questions["person_id"].isin(here.loc[here["role"] == "forget", "person_id"])
    origin = questions["origin"]
    sets = np.select(
        [origin == "celebrity", forgotten & (origin == "profile"), forgotten & (origin == "test"), origin == "profile"],
        ["celebrity", "forget", "test", "retain"],
        default="",
    )
    return pd.Series(sets, index=questions.index).replace("", None)
