"""The questions that a run answers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from unsee.benchmarks.schema import BenchmarkError
from unsee.benchmarks.tables import person_ids, read_split, read_table
from unsee.core.text import comparable
from unsee.evaluation.protocol import Protocol, Question

log = logging.getLogger(__name__)


def protocol_questions(benchmark: Path, forget_percents: Sequence[int], protocol: Protocol) -> list[Question]:
    """The questions of a run at these ratios, prepared by a protocol.

    Args:
        benchmark: folder of canonical tables.
        forget_percents: the ratios.
        protocol: the protocol.

    Raises:
        BenchmarkError: as for :func:`read_questions`.
    """
    splits = pa.concat_tables([read_split(benchmark, percent) for percent in forget_percents]).to_pandas()
    image_ids = read_table(benchmark, "images", ["image_id"])["image_id"].to_pylist()
    questions = protocol.prepare(read_questions(benchmark, forget_percents), splits, image_ids, forget_percents)
    log.info("protocol %s, version %d: %d questions", protocol.name, protocol.version, len(questions))
    return questions


def read_questions(benchmark: Path, forget_percents: Sequence[int]) -> list[Question]:
    """The questions of a run at these ratios: all except test questions about people to keep.

    Args:
        benchmark: folder of canonical tables.
        forget_percents: the ratios.

    Raises:
        BenchmarkError: a question cannot be scored, see :func:`check_answers`.
    """
    forgotten = {person for percent in forget_percents for person in person_ids(benchmark, percent, "forget")}
    table = read_table(benchmark, "questions")
    wanted = pc.or_(
        pc.not_equal(table["origin"], "test"),
        pc.is_in(table["person_id"], value_set=pa.array(sorted(forgotten), pa.string())),
    )
    questions = list(table.filter(wanted).sort_by("question_id").to_pylist())
    check_answers(questions)
    return questions


def check_answers(questions: Sequence[Mapping[str, Any]]) -> None:
    """Check that the answers to all questions can be scored. Loaders do the same; this is for tables from other sources.

    Args:
        questions: rows of the questions table.

    Raises:
        BenchmarkError: two options are equal, an option or an answer has no visible text, or ``answer_index`` names another option
            than the answer. The message names the first ten such questions.
    """
    faults = [f"question {row['question_id']!r}: {fault}" for row in questions if (fault := _fault(row)) is not None]
    if faults:
        more = [f"and {len(faults) - 10} more"] if len(faults) > 10 else []
        raise BenchmarkError("\n".join([*faults[:10], *more]))


def _fault(row: Mapping[str, Any]) -> str | None:
    """The first problem of a question's options and answer, or ``None``."""
    options, index = row["options"], row["answer_index"]
    texts = [comparable(option or "") for option in options]
    if "" in texts:
        return f"option {texts.index('')} is {options[texts.index('')]!r}; expected text that can be seen"
    for i, text in enumerate(texts):
        if text in texts[:i]:
            first = texts.index(text)
            return (
                f"options {first} and {i} are {options[first]!r} and {options[i]!r}, which say the same; expected options that "
                "differ in more than case and white space"
            )
    if not comparable(row["answer"]):
        return f"the answer is {row['answer']!r}; expected text that can be seen"
    has_options = row["task"] in ("classification", "likelihood")
    if has_options and not (0 <= index < len(options) and texts[index] == comparable(row["answer"])):
        return (
            f"answer_index is {index}, and the answer {row['answer']!r}; expected its place among the options {options}"
        )
    return None
