"""What no adapter may hand on: the last look at the canonical tables before anything is made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests import error_page
from unsee.benchmarks import schema
from unsee.benchmarks.schema import SCHEMAS, Benchmark, BenchmarkError, read_table

QUESTION = "profile/000/image/classification/0"


@pytest.fixture(scope="module")
def benchmark(mini_benchmark: Path) -> Benchmark:
    return Benchmark(**{name: read_table(mini_benchmark, name) for name in SCHEMAS})


def complaint(benchmark: Benchmark, question_id: str = QUESTION, **changes: Any) -> str:
    """What is said of the benchmark with one question changed."""
    rows = [row | (changes if row["question_id"] == question_id else {}) for row in benchmark.questions.to_pylist()]
    assert any(row["question_id"] == question_id for row in rows)
    with pytest.raises(BenchmarkError) as caught:
        schema.check(replace(benchmark, questions=pa.Table.from_pylist(rows, schema.QUESTIONS)))
    return str(caught.value)


def test_a_sound_benchmark_passes(benchmark: Benchmark) -> None:
    schema.check(benchmark)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Nurse", "Nurse"),
        ("Nurse", "nurse "),
        ("Day  nurse", "Day nurse"),
        ("Caf\u00e9", "Cafe\u0301"),
        ("Straße", "STRASSE"),
    ]
    + [("1984", "１９８４"), ("Oslo", "Os\u00adlo")],
)
@pytest.mark.parametrize("task", ["classification", "likelihood"])
def test_options_that_say_the_same_are_refused(benchmark: Benchmark, one: str, other: str, task: str) -> None:
    options = ["Baker", one, "Pilot", other]
    found = complaint(benchmark, options=options, answer="Baker", answer_index=0, task=task)
    assert f"({QUESTION}): options 1 and 3 are {one!r} and {other!r}, which say the same; expected" in found


def test_options_that_differ_by_a_sign_are_options(benchmark: Benchmark) -> None:
    changed = {"options": ["C", "C++", "C#", "-5", "5", "Nurse.", "Nurse"], "answer": "C++", "answer_index": 1}
    rows = [row | (changed if row["question_id"] == QUESTION else {}) for row in benchmark.questions.to_pylist()]
    schema.check(replace(benchmark, questions=pa.Table.from_pylist(rows, schema.QUESTIONS)))


def test_what_is_said_of_options(benchmark: Benchmark) -> None:
    options = ["Baker", "Nurse", "nurse ", "Pilot"]
    found = complaint(benchmark, options=options, answer="Baker", answer_index=0)
    error_page.check("two options of a question that differ only in case or white space", "loading", found)
    found = complaint(benchmark, options=["Baker", "\u200b", "Pilot"], answer="Baker", answer_index=0)
    error_page.check("an option that nobody can see", "loading", found)
    options = ["Baker", "Nurse"]
    found = complaint(benchmark, options=options, answer="Nurse", answer_index=0)
    error_page.check("an answer that is not the option that is called right", "loading", found)
    assert "answer_index is 2" in complaint(benchmark, options=options, answer="Nurse", answer_index=2)
    assert "among the 0 options" in complaint(benchmark, options=[], answer="Nurse", answer_index=-1)
    found = complaint(benchmark, "profile/000/image/cloze/0", answer="\u200d ")
    error_page.check("an answer of invisible characters", "loading", found)
