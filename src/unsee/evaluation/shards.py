"""Answers on their way to one file: a small file a batch, joined at the end, so that none that was given is given again.

Nobody holds all answers at once: not while they come, and not when they are joined.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unsee.core.files import atomic_write, is_intact, write_checksummed

log = logging.getLogger(__name__)

#: Rows read at a time from each shard, and written at a time.
_READ, _WRITE = 32, 4096


def find(folder: Path, number: int, question_ids: Sequence[str]) -> Path | None:
    """The answers of a batch that an earlier start has left, if they are whole and to these questions."""
    for shard in folder.glob(f"{number:06d}-*.parquet"):
        if not is_intact(shard):
            log.warning("%s is damaged; its questions are asked again", shard)
        elif pq.read_table(shard)["question_id"].to_pylist() == sorted(question_ids):
            return shard
        shard.unlink()
    return None


def write(folder: Path, number: int, rows: Iterable[dict[str, Any]], schema: pa.Schema) -> Path:
    """Write the answers of a batch, in the order of their questions' ids."""
    table = pa.Table.from_pylist(sorted(rows, key=itemgetter("question_id")), schema)
    with write_checksummed(folder / f"{number:06d}.parquet") as part:
        pq.write_table(table, part, row_group_size=_READ)
    return next(folder.glob(f"{number:06d}-*.parquet"))


def join(shards: Sequence[Path], schema: pa.Schema, output: Path) -> None:
    """Write all answers to one file, in the order of their questions' ids."""
    merged = heapq.merge(*map(_rows, shards), key=itemgetter("question_id"))
    with atomic_write(output) as part, pq.ParquetWriter(part, schema) as writer:
        while rows := list(islice(merged, _WRITE)):
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _rows(shard: Path) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(shard) as file:
        for batch in file.iter_batches(_READ):
            yield from batch.to_pylist()
