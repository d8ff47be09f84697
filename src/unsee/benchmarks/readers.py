"""Read the files of a published data set a few rows at a time, and check the pictures.

Every problem is reported with its file and row.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from unsee.benchmarks import columns as checks
from unsee.benchmarks.columns import Kind
from unsee.benchmarks.problems import Problems
from unsee.benchmarks.schema import IMAGES, BenchmarkError
from unsee.benchmarks.shards import PATTERNS, find_shards, shard_problems
from unsee.core.images import PictureError, decode


class PublishedFolder:
    """A published data set on this disk: a folder with one folder for each configuration.

    Attributes:
        directory: the folder.
        problems: problems of its files and rows, collected while they are read.
        notes: warnings about its rows.

    Args:
        directory: the folder.
        repository: where the data set is published; used in error messages.
        names: the configurations that must be there.

    Raises:
        BenchmarkError: a configuration is missing or lacks files; the message lists all of them.
    """

    def __init__(self, directory: Path, repository: str, names: Iterable[str]) -> None:
        self.directory = directory
        self.problems, self.notes = Problems(), Problems()
        names = list(names)
        missing = [name for name in names if not find_shards(directory / name)]
        if missing:
            raise BenchmarkError(
                f"{directory}: lacks {', '.join(missing)} (no {' or '.join(PATTERNS)} there); expected these folders of the "
                f"data set {repository}"
            )
        for name in names:
            for problem in shard_problems(directory / name):
                self.problems.add(str(directory / name), problem)
        self.problems.raise_if_any()

    def rows(
        self, name: str, columns: Mapping[str, Kind], one_of: Mapping[str, Kind] | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Read a configuration row by row; at most one row group is in memory, and no other column is read.

        A file or row that cannot be read becomes a problem, and reading continues with the next one.

        Args:
            name: the configuration.
            columns: the columns that every file must have.
            one_of: alternative columns; the first one that a file has is read.

        Yields:
            ``{file}, row {number}`` and the row.
        """
        for file in find_shards(self.directory / name):
            with self.problems.collect(str(file)):
                yield from self._rows_of(file, columns, one_of or {})

    def _rows_of(
        self, file: Path, columns: Mapping[str, Kind], one_of: Mapping[str, Kind]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        number = 0
        try:
            names, batches = checks.open_file(file, columns, one_of)
            texts = [name for name in names if checks.holds_text({**columns, **one_of}[name])]
            text_bytes = 0
            for batch in batches():
                for i in range(batch.num_rows):
                    where, row = f"{file}, row {number}", batch.slice(i, 1)
                    number += 1
                    sizes = {name: checks.cell_bytes(row.column(name)) for name in row.schema.names}
                    text_bytes += sum(sizes[name] for name in texts)
                    if text_bytes > checks.MAX_TEXT_BYTES:
                        raise BenchmarkError(
                            f"{file}: unfolds to more than {checks.MAX_TEXT_BYTES} bytes of text by row {number - 1}; "
                            f"{checks.OTHER_FILE}"
                        )
                    with self.problems.collect(where):
                        yield where, _values(where, row, sum(sizes.values()))
        except (pa.ArrowException, OSError) as error:
            where = f"{file}, row {number}" if number else str(file)
            kind = "parquet" if file.suffix == ".parquet" else "arrow"
            reason = " ".join(str(error).split())[:500]
            raise BenchmarkError(f"{where}: not a readable {kind} file ({reason}); download it again") from error

    def has(self, name: str, column: str) -> bool:
        """Whether every file of a configuration has a column. A file that cannot be read counts: :meth:`rows` reports it."""
        try:
            return all(column in checks.read_schema(file).names for file in find_shards(self.directory / name))
        except (pa.ArrowException, OSError):
            return True


def _values(where: str, row: pa.RecordBatch, size: int) -> dict[str, Any]:
    """The values of one row.

    Raises:
        BenchmarkError: the row is too large, or a text is not UTF-8.
    """
    if size > checks.MAX_ROW_BYTES:
        raise BenchmarkError(f"{where}: has {size} bytes, expected at most {checks.MAX_ROW_BYTES}; {checks.OTHER_FILE}")
    try:
        (values,) = row.to_pylist()
    except UnicodeDecodeError as error:
        raise BenchmarkError(f"{where}: a text is not UTF-8 ({error.reason}); write it anew") from error
    return dict(values)


def check_members(
    folder: PublishedFolder, forget_percent: int, members: Mapping[str, set[str]], people: set[str], full: str
) -> None:
    """Check the people in the two folders of a ratio: their number, and that each person is in exactly one of them.

    Args:
        folder: receives the problems.
        forget_percent: the ratio.
        members: the ids of the people in the folder to forget, then in the folder to retain, by the folder's name.
        people: the ids of all people.
        full: the folder that holds all people.
    """
    (forget, forgotten), (retain, retained) = members.items()
    expected = round(len(people) * forget_percent / 100)
    if len(forgotten) != expected:
        at = str(folder.directory / forget)
        folder.problems.add(
            at,
            f"{at}: {len(forgotten)} people; expected {expected}, which are {forget_percent} % of the {len(people)} in {full}; is it "
            "the folder of another ratio?",
        )
        return
    at = str(folder.directory)
    for person in sorted(forgotten & retained):
        folder.problems.add(at, f"{at}: person {person!r} is in {forget} and in {retain}; expected one of them")
    for person in sorted(people - forgotten - retained):
        folder.problems.add(
            at, f"{at}: person {person!r} of {full} is in neither {forget} nor {retain}; expected one of them"
        )


def picture(where: str, value: Any) -> bytes:
    """The encoded file of a picture's cell, after decoding it once as a check.

    Raises:
        BenchmarkError: there are no bytes, or the picture is not accepted (:mod:`unsee.core.images`).
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
    """Collects the rows of the images table on disk, so that a gigabyte of pictures takes no memory.

    Args:
        scratch: a folder with room for the pictures; the system's temporary folder by default.
    """

    def __init__(self, scratch: Path | None = None) -> None:
        self._file = tempfile.NamedTemporaryFile(dir=scratch, suffix=".arrow")  # noqa: SIM115 - deleted with the store
        self._writer = pa.ipc.new_file(self._file.name, IMAGES)

    def add(self, image_id: str, person_id: str, data: bytes) -> None:
        """Add a row."""
        row = {"image_id": image_id, "person_id": person_id, "bytes": data}
        self._writer.write_batch(pa.RecordBatch.from_pylist([row], IMAGES))

    def table(self) -> pa.Table:
        """The images table, memory-mapped. No row can be added afterwards."""
        self._writer.close()
        return pa.ipc.open_file(pa.memory_map(self._file.name)).read_all()
