"""People held out of a published benchmark: non-members to compare the forgotten people with.

No model may have met a non-member, and nothing else may tell it from a member. A published benchmark has no such people, so some of those
whom no ratio forgets are taken out of its tables: no model is trained on them, no question is about them, and no attack shows them. They
have tables of their own, as the synthetic benchmark's strangers do (:mod:`unsee.benchmarks.strangers`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unsee.benchmarks import published
from unsee.benchmarks.schema import Benchmark, BenchmarkError, table_path
from unsee.benchmarks.strangers import STRANGER_TABLES
from unsee.core.files import atomic_write

#: So many people at least stay retained: a mean over one person has no interval.
FEWEST_RETAINED = 2


def load(
    name: str,
    directory: Path,
    forget_percents: Sequence[int],
    scratch: Path | None = None,
    *,
    people: int = 0,
    seed: int = 0,
    percents: Sequence[int] = (),
    forget: Sequence[str] = (),
) -> tuple[Benchmark, dict[str, pa.Table]]:
    """Read and check a benchmark, and take the people who are held out from it.

    Args:
        name, directory, forget_percents, scratch: as for :func:`unsee.benchmarks.published.load`.
        people: how many are held out.
        seed: decides who.
        percents: all ratios of the benchmark; nobody who is forgotten at one of them is held out.
        forget: the ids of a named request, who are not held out either.

    Returns:
        The benchmark without them, and their tables ``people``, ``images`` and ``training_pairs``; no tables if nobody is held out.

    Raises:
        BenchmarkError: as ``published.load``; or too few people remain.
    """
    benchmark = published.load(name, directory, forget_percents, scratch)
    if not people:
        return benchmark, {}
    ids = benchmark.people.filter(pc.equal(benchmark.people["group"], "fictitious"))["person_id"].to_pylist()
    forgotten = set(forget)
    for percent in percents:
        split = published.read_split(name, directory, percent, ids)
        forgotten |= set(split.filter(pc.equal(split["role"], "forget"))["person_id"].to_pylist())
    trained = set(benchmark.training_pairs["person_id"].to_pylist())
    members = draw(sorted(trained & set(ids) - forgotten), people, seed)
    return without(benchmark, members), tables_of(benchmark, members)


def draw(person_ids: Sequence[str], people: int, seed: int) -> list[str]:
    """Draw the people who are held out; a larger number has the people of a smaller one and others.

    Args:
        person_ids: the people whom no ratio forgets.
        people: how many are held out.
        seed: decides who.

    Raises:
        BenchmarkError: fewer than :data:`FEWEST_RETAINED` of them would remain.
    """
    most = max(0, len(person_ids) - FEWEST_RETAINED)
    if people > most:
        raise BenchmarkError(
            f"benchmark.held_out is {people}, and {len(person_ids)} people with training pairs are forgotten at no ratio, of whom "
            f"{FEWEST_RETAINED} must stay retained; expected at most {most}"
        )
    order = sorted(person_ids)
    Random(f"{seed}:held_out").shuffle(order)
    return sorted(order[:people])


def without(benchmark: Benchmark, person_ids: Collection[str]) -> Benchmark:
    """The benchmark without every row about some people."""
    kept = {field.name: _of(getattr(benchmark, field.name), person_ids, included=False) for field in fields(benchmark)}
    return replace(benchmark, **kept)


def tables_of(benchmark: Benchmark, person_ids: Collection[str]) -> dict[str, pa.Table]:
    """The tables of some people by name: ``people``, ``images`` and ``training_pairs``."""
    return {name: _of(getattr(benchmark, name), person_ids, included=True) for name in STRANGER_TABLES}


def write(directory: Path, tables: dict[str, pa.Table]) -> None:
    """Write the tables of :func:`load` as ``directory/{table}.parquet``; nothing without tables."""
    for name, table in tables.items():
        with atomic_write(table_path(directory, name)) as part:
            pq.write_table(table, part)


def read_ids(files: Sequence[str]) -> list[str]:
    """The ids of the people who are held out.

    Args:
        files: the files that :func:`write` has written, ``people.parquet`` first; none if nobody is held out.
    """
    return sorted(pq.read_table(files[0], columns=["person_id"])["person_id"].to_pylist()) if files else []


def _of(table: pa.Table, person_ids: Collection[str], *, included: bool) -> pa.Table:
    selected = pc.is_in(table["person_id"], value_set=pa.array(sorted(person_ids), pa.string()))
    return table.filter(selected if included else pc.invert(selected))
