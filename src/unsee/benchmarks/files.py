"""Files of published data sets: parquet shards or ``save_to_disk`` folders, read a few rows at a time; pictures, checked.

Everything that is wrong with one is said with its file and row.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unsee.benchmarks.published import SHARDS, shards
from unsee.benchmarks.schema import IMAGES, BenchmarkError
from unsee.images import PictureError, decode

_ROWS = 16


class Published:
    """A published data set on this disk: a folder with a folder for each of its configurations.

    Args:
        directory: the folder.
        repository: where it is published, for the reader of an error.
        names: the configurations that must be there.

    Raises:
        BenchmarkError: some are missing; the message names them all.
    """

    def __init__(self, directory: Path, repository: str, names: Iterable[str]) -> None:
        self.directory = directory
        missing = [name for name in names if not shards(directory / name)]
        if missing:
            raise BenchmarkError(
                f"{directory}: lacks {', '.join(missing)} (no {' or '.join(SHARDS)} there); expected these folders of the "
                f"data set {repository}"
            )

    def rows(
        self, name: str, columns: Sequence[str | tuple[str, ...]], optional: Sequence[str] = ()
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """(file and row, row) of a configuration, a row group of a file in memory at a time; no other column is read.

        Args:
            name: the configuration.
            columns: what every file must have; a tuple names alternatives, the first that is there is read.
            optional: what is read where it is there.

        Raises:
            BenchmarkError: an unreadable file, or one without a column.
        """
        for file in shards(self.directory / name):
            number = 0
            try:
                names, batches = _open(file)
                wanted = [_present(file, column, names) for column in columns]
                wanted += [column for column in optional if column in names]
                for batch in batches(wanted):
                    for start in range(0, batch.num_rows, _ROWS):
                        for row in batch.slice(start, _ROWS).to_pylist():
                            yield f"{file}, row {number}", row
                            number += 1
            except (pa.ArrowInvalid, OSError) as error:
                where = f"{file}, row {number}" if number else str(file)
                kind = "parquet" if file.suffix == ".parquet" else "arrow"
                raise BenchmarkError(f"{where}: not a readable {kind} file ({error}); download it again") from error

    def has(self, name: str, column: str) -> bool:
        """Whether every file of a configuration has a column."""
        return all(column in _open(file)[0] for file in shards(self.directory / name))


def _open(file: Path) -> tuple[list[str], Any]:
    """Column names, and a function that gives batches of some columns."""
    if file.suffix == ".parquet":
        parquet = pq.ParquetFile(file)
        return parquet.schema_arrow.names, lambda wanted: parquet.iter_batches(_ROWS, columns=wanted)
    stream = pa.ipc.open_stream(pa.memory_map(str(file)))
    return stream.schema.names, lambda wanted: (batch.select(wanted) for batch in stream)


def _present(file: Path, column: str | tuple[str, ...], names: Sequence[str]) -> str:
    choices = (column,) if isinstance(column, str) else column
    for name in choices:
        if name in names:
            return name
    raise BenchmarkError(f"{file}: no column {' or '.join(choices)!r}; it has {names}")


def picture(where: str, value: Any) -> bytes:
    """The encoded file of a picture's cell, decoded once to see that it can be.

    Raises:
        BenchmarkError: no bytes, or a picture that is not accepted, see :mod:`unsee.images`.
    """
    data = value.get("bytes") if isinstance(value, dict) else None
    if not data:
        raise BenchmarkError(f"{where}: the picture has no bytes, expected an encoded file")
    try:
        decode(data, where)
    except PictureError as error:
        raise BenchmarkError(str(error)) from error
    return bytes(data)


class ImageStore:
    """Pictures on their way into the images table: on disk, so that a gigabyte of them takes no memory.

    Args:
        scratch: a folder with room for them; the system's own by default.
    """

    def __init__(self, scratch: Path | None = None) -> None:
        self._file = tempfile.NamedTemporaryFile(dir=scratch, suffix=".arrow")  # noqa: SIM115 - lives as long as this
        self._writer = pa.ipc.new_file(self._file.name, IMAGES)

    def add(self, image_id: str, person_id: str, data: bytes) -> None:
        """One more row."""
        row = {"image_id": image_id, "person_id": person_id, "bytes": data}
        self._writer.write_batch(pa.RecordBatch.from_pylist([row], IMAGES))

    def table(self) -> pa.Table:
        """All of them, mapped from the disk; nothing can be added after this."""
        self._writer.close()
        return pa.ipc.open_file(pa.memory_map(self._file.name)).read_all()
