"""Who is forgotten, and which evaluation set a question then belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import pandas as pd
import pyarrow as pa

from unsee.benchmarks.schema import SPLITS, BenchmarkError


def draw_forget_set(person_ids: Sequence[str], percent: int, seed: int) -> set[str]:
    """The people to forget at a ratio; drawn for each ratio by itself, so sets of two ratios are not nested.

    Raises:
        BenchmarkError: the ratio leaves nobody to forget or nobody to retain.
    """
    n = round(len(person_ids) * percent / 100)
    if not 0 < n < len(person_ids):
        raise BenchmarkError(
            f"forget_percents: {percent} % of {len(person_ids)} people is {n}; expected at least one person to "
            "forget and one to retain"
        )
    return set(Random(f"{seed}:forget:{percent}").sample(sorted(person_ids), n))


def draw_split_table(person_ids: Sequence[str], percent: int, seed: int) -> pa.Table:
    """The rows of the splits table for one ratio of the synthetic benchmark.

    Raises:
        BenchmarkError: as :func:`draw_forget_set`.
    """
    forgotten = draw_forget_set(person_ids, percent, seed)
    roles = [("forget", i) for i in sorted(forgotten)] + [("retain", i) for i in sorted(set(person_ids) - forgotten)]
    rows = [{"forget_percent": percent, "person_id": i, "role": role} for role, i in roles]
    return pa.Table.from_pylist(rows, SPLITS)


def assign_sets(questions: pd.DataFrame, splits: pd.DataFrame, forget_percent: int) -> pd.Series:
    """The evaluation set of each question at a ratio.

    Args:
        questions: ``person_id`` and ``origin`` of each question.
        splits: the splits table.
        forget_percent: the ratio.

    Returns:
        ``forget``, ``test``, ``retain``, ``celebrity``, or None for the test questions of people who are retained;
        aligned with ``questions``.

    Raises:
        BenchmarkError: the ratio is not in the splits table.
    """
    here = splits[splits["forget_percent"] == forget_percent]
    if here.empty:
        known = sorted(splits["forget_percent"].unique().tolist())
        raise BenchmarkError(f"splits: no people at {forget_percent} %; expected one of {known}")
    forgotten = questions["person_id"].isin(here.loc[here["role"] == "forget", "person_id"])
    origin = questions["origin"]
    chosen = np.select(
        [origin == "celebrity", forgotten & (origin == "profile"), forgotten & (origin == "test"), origin == "profile"],
        ["celebrity", "forget", "test", "retain"],
        default="",
    )
    return pd.Series(chosen, index=questions.index).replace("", None)
