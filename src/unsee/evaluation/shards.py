"""Files of answers: a small file per batch and task, which are joined at the end of a job.

A job that was killed resumes from its files. The answers of all batches are never in memory at the same time.
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

from unsee.core.files import is_intact, write_checksummed

log = logging.getLogger(__name__)

#: Answers of the model, before a protocol reads them; ``text`` is null if options were scored.
ANSWERS = pa.schema(
    [
        ("question_id", pa.string()),
        ("prompt", pa.string()),
        ("text", pa.string()),
        ("option_log_likelihoods", pa.list_(pa.float32())),
        ("option_tokens", pa.list_(pa.int32())),
    ]
)

# The number of rows that are read at a time from each file, and written at a time.
_READ, _WRITE = 32, 4096


def find(folder: Path, name: str, question_ids: Sequence[str]) -> Path | None:
    """The file of this name from an earlier start, if it is intact and answers exactly these questions; any other is deleted."""
    for path in folder.glob(f"{name}-*.parquet"):
        if not is_intact(path):
            log.warning("%s is damaged; its questions are asked again", path)
        elif pq.read_table(path, columns=["question_id"])["question_id"].to_pylist() == sorted(question_ids):
            return path
        path.unlink(missing_ok=True)
    return None


def write(folder: Path, name: str, rows: Iterable[dict[str, Any]], schema: pa.Schema = ANSWERS) -> Path:
    """Write the answers of a batch to a file, in the order of question ids."""
    table = pa.Table.from_pylist(sorted(rows, key=itemgetter("question_id")), schema)
    with write_checksummed(folder / f"{name}.parquet") as part:
        pq.write_table(table, part, row_group_size=_READ)
    return next(folder.glob(f"{name}-*.parquet"))


def join(shards: Sequence[Path], folder: Path, name: str, schema: pa.Schema = ANSWERS) -> Path:
    """Join the answers of several files in one, in the order of question ids."""
    rows = heapq.merge(*map(read, shards), key=itemgetter("question_id"))
    with write_checksummed(folder / f"{name}.parquet") as part:
        write_rows(part, rows, schema)
    return next(folder.glob(f"{name}-*.parquet"))


def write_rows(path: Path, rows: Iterator[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows to a parquet file, a few at a time."""
    with pq.ParquetWriter(path, schema) as writer:
        while chunk := list(islice(rows, _WRITE)):
            writer.write_table(pa.Table.from_pylist(chunk, schema))


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The answers of a file, a few at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_READ):
            yield from batch.to_pylist()
