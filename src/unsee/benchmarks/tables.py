"""Read the canonical tables (:mod:`unsee.benchmarks.schema`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unsee.benchmarks.schema import SCHEMAS, BenchmarkError, split_path, table_path


@dataclass(frozen=True)
class Pair:
    """A question and its answer, with or without a picture."""

    pair_id: str
    person_id: str
    image_id: str | None
    question: str
    answer: str


def read_table(directory: Path, table: str, columns: list[str] | None = None) -> pa.Table:
    """Read one canonical table, or only some of its ``columns``.

    Raises:
        BenchmarkError: the file is missing or unreadable, or its columns differ from the schema.
    """
    return _read(table_path(directory, table), table, columns)


def read_split(directory: Path, percent: int) -> pa.Table:
    """Read the rows of the splits table for one ratio.

    Raises:
        BenchmarkError: as :func:`read_table`.
    """
    return _read(split_path(directory, percent), "splits", None)


def _read(path: Path, table: str, columns: list[str] | None) -> pa.Table:
    schema = SCHEMAS[table]
    if not path.is_file():
        raise BenchmarkError(f"{path}: not found; expected the {table} table, made by the rule 'load_benchmark'")
    try:
        names = pq.read_schema(path).names
        if names != schema.names:
            raise BenchmarkError(f"{path}: columns {names}, expected {schema.names}; remake it")
        return pq.read_table(path, columns=columns)
    except pa.ArrowInvalid as error:
        raise BenchmarkError(f"{path}: not a readable parquet file ({error}); delete it and run again") from error


def person_ids(benchmark: Path, forget_percent: int, role: str) -> list[str]:
    """Person ids of a role at a ratio, sorted.

    Args:
        benchmark: the folder of canonical tables.
        forget_percent: the ratio; ignored for role ``all``.
        role: ``forget``, ``retain`` or ``all`` (every fictitious person).

    Raises:
        BenchmarkError: there are no such people.
    """
    if role == "all":
        table = read_table(benchmark, "people", ["person_id", "group"])
        people = table.filter(pc.equal(table["group"], "fictitious"))["person_id"]
    else:
        table = read_split(benchmark, forget_percent)
        people = table.filter(pc.equal(table["role"], role))["person_id"]
    ids = sorted(people.to_pylist())
    if not ids:
        raise BenchmarkError(f"{benchmark}: no person has the role {role!r} at {forget_percent} %; see its splits")
    return ids


def names_of(benchmark: Path, person_ids: Sequence[str]) -> list[str]:
    """The names of people, in the order of their ids."""
    table = read_table(benchmark, "people", ["person_id", "name"])
    names = dict(zip(table["person_id"].to_pylist(), table["name"].to_pylist(), strict=True))
    return [names[person_id] for person_id in person_ids]


def read_pairs(benchmark: Path, person_ids: Sequence[str]) -> list[Pair]:
    """Read the training pairs of people, sorted by pair id.

    Raises:
        BenchmarkError: a person has no training pairs.
    """
    wanted = set(person_ids)
    rows = read_table(benchmark, "training_pairs").sort_by("pair_id").to_pylist()
    pairs = [
        Pair(row["pair_id"], row["person_id"], row["image_id"], row["question"], row["answer"])
        for row in rows
        if row["person_id"] in wanted
    ]
    without = sorted(wanted - {pair.person_id for pair in pairs})
    if without:
        raise BenchmarkError(f"{benchmark}: no training pairs for {without[0]!r} ({len(without)} such people)")
    return pairs


def read_images(benchmark: Path, image_ids: set[str]) -> list[tuple[str, bytes]]:
    """Read (image id, encoded picture) of the given ids; row groups without any of them are skipped."""
    read_table(benchmark, "images", ["image_id"])  # checks the file
    file = pq.ParquetFile(table_path(benchmark, "images"))
    images = []
    for group in range(file.num_row_groups):
        if image_ids.isdisjoint(file.read_row_group(group, ["image_id"])["image_id"].to_pylist()):
            continue
        rows = file.read_row_group(group, ["image_id", "bytes"]).to_pylist()
        images += [(row["image_id"], row["bytes"]) for row in rows if row["image_id"] in image_ids]
    return images
