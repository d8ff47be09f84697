"""The canonical tables of a benchmark: everything downstream reads these and nothing else.

Five parquet files in one folder, and the splits once more, a file for each ratio, so that a model of one ratio depends on no other.
Every adapter (MLLMU-Bench, the synthetic benchmark, ...) ends in a
:class:`Benchmark`; nothing behind it knows which adapter made it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unsee.core.files import atomic_write
from unsee.core.text import comparable

SETS = ("forget", "test", "retain", "celebrity")
MODALITIES = ("image", "text")
#: In ``likelihood`` nothing is chosen: only how likely the right one of the options is counts.
TASKS = ("classification", "generation", "cloze", "likelihood")
GROUPS = ("fictitious", "celebrity")
ORIGINS = ("profile", "test", "celebrity")

#: One row a person. ``biography`` is a JSON object of attribute -> value.
PEOPLE = pa.schema(
    [
        pa.field("person_id", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("biography", pa.string(), nullable=False),
    ]
)

#: One row a picture, the encoded file in ``bytes``. ``image_id`` is ``{person_id}/{which}``, such as ``profile`` or
#: ``test-{n}``.
IMAGES = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("person_id", pa.string(), nullable=False),
        pa.field("bytes", pa.binary(), nullable=False),
    ]
)

#: One row an evaluation question. ``origin`` says where it was published: a fictitious person's own
#: profile, the test set (another picture, paraphrased), or a celebrity. Which of the four evaluation
#: sets a question belongs to depends on the forget ratio, see :func:`unsee.benchmarks.splits.assign_sets`.
#: ``image_id`` is null for text-only questions; ``options`` is empty and ``answer_index`` -1 except in
#: classification and likelihood, where ``answer`` is the text of the correct option.
QUESTIONS = pa.schema(
    [
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("person_id", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("modality", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("image_id", pa.string()),
        pa.field("question", pa.string(), nullable=False),
        pa.field("options", pa.list_(pa.string()), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("answer_index", pa.int8(), nullable=False),
    ]
)

#: One row a training question and answer; ``image_id`` is null for text-only pairs.
TRAINING_PAIRS = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("person_id", pa.string(), nullable=False),
        pa.field("modality", pa.string(), nullable=False),
        pa.field("image_id", pa.string()),
        pa.field("question", pa.string(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
    ]
)

#: One row a fictitious person and forget ratio; ``role`` is ``forget`` or ``retain``.
SPLITS = pa.schema(
    [
        pa.field("forget_percent", pa.int16(), nullable=False),
        pa.field("person_id", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
    ]
)

SCHEMAS = {
    "people": PEOPLE,
    "images": IMAGES,
    "questions": QUESTIONS,
    "training_pairs": TRAINING_PAIRS,
    "splits": SPLITS,
}
WITHOUT_IMAGES = [name for name in SCHEMAS if name != "images"]

_GROUP = dict.fromkeys(SCHEMAS, 100_000) | {"images": 64}


class BenchmarkError(ValueError):
    """The benchmark's files do not say what they must; the message names file, row, found and expected."""


@dataclass(frozen=True)
class Benchmark:
    """The canonical tables of one benchmark (see the module's schemas)."""

    people: pa.Table
    images: pa.Table
    questions: pa.Table
    training_pairs: pa.Table
    splits: pa.Table

    def write(self, directory: Path) -> None:
        """Write each table to ``directory/{table}.parquet``, after checking it; of no splits nothing is written."""
        check(self)
        directory.mkdir(parents=True, exist_ok=True)
        for percent in sorted(set(self.splits["forget_percent"].to_pylist())):
            with atomic_write(split_path(directory, percent)) as part:
                pq.write_table(self.splits.filter(pc.equal(self.splits["forget_percent"], percent)), part)
        for field in fields(self):
            if field.name == "splits" and not len(self.splits):
                continue
            # In small groups, so that some pictures can be read without all of them.
            with atomic_write(table_path(directory, field.name)) as part:
                pq.write_table(getattr(self, field.name), part, row_group_size=_GROUP[field.name])


def table_path(directory: Path, table: str) -> Path:
    """Where :meth:`Benchmark.write` puts a table."""
    return directory / f"{table}.parquet"


def split_path(directory: Path, percent: int) -> Path:
    """Where the rows of the splits table for one ratio are."""
    return directory / "splits" / f"forget{percent}.parquet"


def check(benchmark: Benchmark) -> None:
    """Check what every adapter must guarantee.

    Raises:
        BenchmarkError: wrong columns, a null or empty cell, a value outside its vocabulary, a key that is
            not unique or points nowhere, a person in both forget and retain of one ratio.
    """
    for name, schema in SCHEMAS.items():
        table = getattr(benchmark, name)
        if table.schema.names != schema.names:
            raise BenchmarkError(f"table {name}: columns {table.schema.names}, expected {schema.names}")
        for field in schema:
            column = table[field.name]
            if not field.nullable and column.null_count:
                row = pc.index(pc.is_null(column), True).as_py()
                raise BenchmarkError(f"table {name}, row {row}: {field.name} is null, expected a value")
    _require_unique(benchmark.people["person_id"], "people.person_id")
    _require_unique(benchmark.images["image_id"], "images.image_id")
    _require_unique(benchmark.questions["question_id"], "questions.question_id")
    _require_unique(benchmark.training_pairs["pair_id"], "training_pairs.pair_id")
    for name, column, allowed in (
        ("people", "group", GROUPS),
        ("questions", "origin", ORIGINS),
        ("questions", "modality", MODALITIES),
        ("questions", "task", TASKS),
        ("training_pairs", "modality", MODALITIES),
        ("splits", "role", ("forget", "retain")),
    ):
        _require_in(getattr(benchmark, name)[column], allowed, f"{name}.{column}")
    people = benchmark.people["person_id"].to_pylist()
    images = benchmark.images["image_id"].to_pylist()
    for name in ("images", "questions", "training_pairs", "splits"):
        _require_in(getattr(benchmark, name)["person_id"], people, f"{name}.person_id")
    for name in ("questions", "training_pairs"):
        table = getattr(benchmark, name)
        _require_in(table["image_id"].drop_null(), images, f"{name}.image_id")
        for text in ("question", "answer"):
            empty = pc.equal(pc.utf8_trim_whitespace(table[text]), "")
            if pc.any(empty).as_py():
                row = pc.index(empty, True).as_py()
                key = table.column(0)[row].as_py()
                raise BenchmarkError(f"table {name}, row {row} ({key}): {text} is empty, expected some text")
    _check_options(benchmark.questions)
    _check_splits(benchmark.splits)


def _require_unique(column: pa.ChunkedArray, name: str) -> None:
    counts = pc.value_counts(column).to_pylist()
    repeated = [entry["values"] for entry in counts if entry["counts"] > 1]
    if repeated:
        raise BenchmarkError(f"{name}: {repeated[0]!r} occurs more than once ({len(repeated)} such), expected unique")


def _require_in(column: pa.ChunkedArray, allowed: Iterable[str], name: str) -> None:
    allowed = list(allowed)
    known = pc.is_in(column, value_set=pa.array(allowed, pa.string()))
    if not pc.all(known).as_py() and len(column):
        row = pc.index(known, False).as_py()
        expected = allowed if len(allowed) < 10 else f"one of {len(allowed)} known ids"
        raise BenchmarkError(f"{name}, row {row}: found {column[row].as_py()!r}, expected {expected}")


def _check_options(questions: pa.Table) -> None:
    """Options are different texts, the right one among them, where one is to be chosen; elsewhere there are none."""
    for row, question in enumerate(
        questions.select(["question_id", "task", "options", "answer", "answer_index"]).to_pylist()
    ):
        where = f"table questions, row {row} ({question['question_id']})"
        options, index = question["options"], question["answer_index"]
        if question["task"] not in ("classification", "likelihood"):
            if options or index != -1:
                raise BenchmarkError(f"{where}: {len(options)} options and answer_index {index}, expected none and -1")
            continue
        different = len({comparable(option or "") for option in options} - {""})
        if different < 2 or different < len(options) or None in options:
            raise BenchmarkError(f"{where}: options are {options}, expected at least two, all different")
        if not 0 <= index < len(options) or options[index] != question["answer"]:
            raise BenchmarkError(
                f"{where}: answer is {question['answer']!r} and answer_index {index}, expected the place of the answer in {options}"
            )


def _check_splits(splits: pa.Table) -> None:
    seen: dict[tuple[int, str], str] = {}
    for row in splits.to_pylist():
        key = (row["forget_percent"], row["person_id"])
        if key in seen:
            raise BenchmarkError(
                f"splits at {key[0]} %: person {key[1]!r} is in {seen[key]} and in {row['role']}, expected one of them"
            )
        seen[key] = row["role"]
    for percent in sorted({percent for percent, _ in seen}):
        roles = {role for (p, _), role in seen.items() if p == percent}
        if roles != {"forget", "retain"}:
            raise BenchmarkError(f"splits at {percent} %: only {sorted(roles)} people, expected forget and retain")
