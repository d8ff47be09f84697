"""What is in a benchmark, counted: the rows of the source paper's Table 3, and what some people lack that others have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from unsee.benchmarks import coverage, demographics
from unsee.benchmarks.tables import read_table


def count(benchmark: Path, percents: Sequence[int]) -> pd.DataFrame:
    """``statistic`` and ``value`` of each row, from a folder of canonical tables.

    The rows of the paper's Table 3, then a row for each gap (:mod:`unsee.benchmarks.coverage`): how many people or questions, and the
    first of them.

    Args:
        benchmark: the folder.
        percents: the forget ratios in percent.
    """
    tables = {name: read_table(benchmark, name) for name in ("people", "questions", "training_pairs")}
    images = read_table(benchmark, "images", ["image_id"]).num_rows
    return describe(**tables, images=images, percents=percents)


def describe(
    people: pa.Table, questions: pa.Table, training_pairs: pa.Table, *, images: int, percents: Sequence[int]
) -> pd.DataFrame:
    """The same, of tables.

    Args:
        people, questions, training_pairs: canonical tables.
        images: how many pictures there are.
        percents: the ratios.
    """
    about = [json.loads(text) for text in people["biography"].to_pylist()]

    def distinct(of: Callable[[Mapping[str, Any]], str | None]) -> int:
        return len({value for biography in about if (value := of(biography))})

    def counts(table: pa.Table, column: str) -> dict[str, int]:
        return {entry["values"]: entry["counts"] for entry in table[column].value_counts().to_pylist()}

    tasks, modalities, groups = counts(questions, "task"), counts(questions, "modality"), counts(people, "group")
    rows = [
        ("Total Questions", len(questions)),
        ("Image + Text Questions", modalities.get("image", 0)),
        ("Pure Text Questions", modalities.get("text", 0)),
        ("Total Images", images),
        ("Forget Percentile", "/".join(f"{percent}%" for percent in percents)),
        ("Multiple-choice Questions", tasks.get("classification", 0)),
        ("Free Generation Questions", tasks.get("generation", 0)),
        ("Fill-in-the-blank Questions", tasks.get("cloze", 0)),
        ("Total Profiles", len(people)),
        ("Fictitious", groups.get("fictitious", 0)),
        ("Real Celeb", groups.get("celebrity", 0)),
        ("Total Countries", distinct(demographics.country)),
        ("Total Regions", distinct(demographics.region)),
        ("Total Birth Years", distinct(demographics.birth_year)),
        ("Total Employment", distinct(demographics.employment)),
    ]
    rows += [
        (name, coverage.abbreviated(members))
        for name, members in coverage.find_gaps(people, questions, training_pairs).items()
    ]
    return pd.DataFrame([(name, str(value)) for name, value in rows], columns=["statistic", "value"])
