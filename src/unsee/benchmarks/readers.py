"""Files of published data sets: parquet shards or ``save_to_disk`` folders, read a few rows at a time; pictures, checked.

Everything that is wrong with one is said with its file and row.
"""

from __future__ import annotations

import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unsee.benchmarks.problems import Problems
from unsee.benchmarks.published import SHARDS, shard_problems, shards
from unsee.benchmarks.schema import IMAGES, BenchmarkError
from unsee.core.images import PictureError, decode

#: What a file may unfold to, by its footer, in bytes: all its columns of text; all its pictures; and the pictures of a row group.
#: The largest published file has about 5 MB of text and 0.5 GB of pictures.
MAX_TEXT_BYTES = 64 * 2**20
MAX_PICTURE_BYTES = 2 * 2**30
MAX_GROUP_BYTES = 2**29
#: What a row may unfold to, in bytes; a published one has at most a few megabytes.
MAX_ROW_BYTES = 64 * 2**20
#: Rows of a file, and values of a column with lists. The largest published file has about 8,000 of each.
MAX_ROWS = 100_000
MAX_VALUES = 200_000
_ROWS = 8

#: What a column must hold. A list of a kind, or a dictionary of field and kind for a struct, nests them.
TEXT = "text"
#: A struct with the encoded file in ``bytes``.
PICTURE = "picture"
#: A struct of texts named by capital letters.
LETTERED = "lettered"
Kind = str | list[Any] | dict[str, Any]


class PublishedFolder:
    """A published data set on this disk: a folder with a folder for each of its configurations.

    Attributes:
        findings: what is wrong with its files and rows, as it is read.
        notes: what is worth a warning.

    Args:
        directory: the folder.
        repository: where it is published, for the reader of an error.
        names: the configurations that must be there.

    Raises:
        BenchmarkError: some are missing or lack files; the message names them all.
    """

    def __init__(self, directory: Path, repository: str, names: Iterable[str]) -> None:
        self.directory = directory
        self.problems, self.notes = Problems(), Problems()
        names = list(names)
        missing = [name for name in names if not shards(directory / name)]
        if missing:
            raise BenchmarkError(
                f"{directory}: lacks {', '.join(missing)} (no {' or '.join(SHARDS)} there); expected these folders of the "
                f"data set {repository}"
            )
        for name in names:
            for problem in shard_problems(directory / name):
                self.problems.add(str(directory / name), problem)
        self.problems.raise_if_any()

    def rows(
        self, name: str, columns: Mapping[str, Kind], one_of: Mapping[str, Kind] | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """(file and row, row) of a configuration, a row group of a file in memory at a time; no other column is read.

        A file or row that cannot be read becomes a finding, and the next one is read.

        Args:
            name: the configuration.
            columns: what every file must have.
            one_of: alternatives; the first that is there is read.
        """
        for file in shards(self.directory / name):
            with self.problems.collect(str(file)):
                yield from self._rows_of(file, columns, one_of or {})

    def _rows_of(
        self, file: Path, columns: Mapping[str, Kind], one_of: Mapping[str, Kind]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        number = 0
        try:
            names, batches = _open(file, columns, one_of)
            texts = [name for name in names if _holds_text({**columns, **one_of}[name])]
            unfolded = 0
            for batch in batches():
                for i in range(batch.num_rows):
                    where, row = f"{file}, row {number}", batch.slice(i, 1)
                    number += 1
                    sizes = {name: _size(row.column(name)) for name in row.schema.names}
                    unfolded += sum(sizes[name] for name in texts)
                    if unfolded > MAX_TEXT_BYTES:
                        raise BenchmarkError(
                            f"{file}: unfolds to more than {MAX_TEXT_BYTES} bytes of text by row {number - 1}; {_OTHER_FILE}"
                        )
                    if sum(sizes.values()) > MAX_ROW_BYTES:
                        self.problems.add(
                            where,
                            f"{where}: has {sum(sizes.values())} bytes, expected at most {MAX_ROW_BYTES}; {_OTHER_FILE}",
                        )
                        continue
                    try:
                        (values,) = row.to_pylist()
                    except UnicodeDecodeError as error:
                        self.problems.add(where, f"{where}: a text is not UTF-8 ({error.reason}); write it anew")
                        continue
                    yield where, values
        except (pa.ArrowException, OSError) as error:
            where = f"{file}, row {number}" if number else str(file)
            kind = "parquet" if file.suffix == ".parquet" else "arrow"
            reason = " ".join(str(error).split())[:500]
            raise BenchmarkError(f"{where}: not a readable {kind} file ({reason}); download it again") from error

    def has(self, name: str, column: str) -> bool:
        """Whether every file of a configuration has a column; what cannot be read has it, and is a finding of :meth:`rows`."""
        try:
            return all(column in _schema(file).names for file in shards(self.directory / name))
        except (pa.ArrowException, OSError):
            return True


_OTHER_FILE = "this is not the published file, download it again"


def _size(cell: pa.Array) -> int:
    """The bytes of a column's cell; of one that refers to a dictionary, those of the value that it refers to."""
    return int((cell.dictionary_decode() if pa.types.is_dictionary(cell.type) else cell).nbytes)


def _schema(file: Path) -> pa.Schema:
    if file.suffix == ".parquet":
        return pq.read_schema(file)
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_stream(source).schema


def _open(
    file: Path, columns: Mapping[str, Kind], one_of: Mapping[str, Kind]
) -> tuple[list[str], Callable[[], Iterator[pa.RecordBatch]]]:
    """The names of the columns to read, and a function that reads them; what they hold and unfold to is checked before."""
    if file.suffix == ".parquet":
        parquet = pq.ParquetFile(file)
        wanted = _columns(file, parquet.schema_arrow, columns, one_of)
        _check_size(file, parquet.metadata, wanted)
        return list(wanted), lambda: parquet.iter_batches(_ROWS, columns=list(wanted))
    source = pa.memory_map(str(file))
    _refuse_compression(file, source)
    source.seek(0)
    stream = pa.ipc.open_stream(source)
    wanted = _columns(file, stream.schema, columns, one_of)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in stream:
            selected = batch.select(list(wanted))
            selected.validate(full=True)  # arrow believes what such a file says about itself
            yield selected

    return list(wanted), batches


def _columns(file: Path, schema: pa.Schema, columns: Mapping[str, Kind], one_of: Mapping[str, Kind]) -> dict[str, Kind]:
    """The columns to read and their kinds.

    Raises:
        BenchmarkError: a column is missing, twice there, or of another type; the message has all of them.
    """
    names = schema.names
    wanted, problems = dict(columns), []
    alternative = next((name for name in one_of if name in names), None)
    if alternative:
        wanted[alternative] = one_of[alternative]
    lacking = [name for name in columns if name not in names]
    if one_of and not alternative:
        lacking.append(" or ".join(one_of))
    problems += [f"{file}: no column {name!r}; it has {names}" for name in lacking]
    for name, kind in wanted.items():
        if names.count(name) > 1:
            problems.append(f"{file}: {names.count(name)} columns {name!r}, expected one")
        elif name in names and (difference := _difference(kind, schema.field(name).type, "")):
            problems.append(f"{file}: column {name!r}{difference}")
    if problems:
        raise BenchmarkError("\n".join(problems))
    return wanted


def _difference(kind: Kind, found: pa.DataType, at: str) -> str | None:
    """How a column's type differs from its kind, with the field within it; None where it does not. Nulls are any kind."""
    types = pa.types
    if types.is_null(found):
        return None
    if types.is_dictionary(found):
        found = found.value_type
    shown = str(found) if len(str(found)) < 80 else f"{str(found)[:76]} ..."
    if kind == TEXT:
        text = types.is_string(found) or types.is_large_string(found) or types.is_string_view(found)
        return None if text else f"{at} is {shown}, expected text"
    if kind == "binary":
        binary = types.is_binary(found) or types.is_large_binary(found) or types.is_binary_view(found)
        return None if binary else f"{at} is {shown}, expected binary"
    if isinstance(kind, list):
        if not (types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found)):
            return f"{at} is {shown}, expected a list"
        return _difference(kind[0], found.value_type, f"{at}[]")
    fields: dict[str, Kind] = {"bytes": "binary"} if kind == PICTURE else kind if isinstance(kind, dict) else {}
    if not types.is_struct(found):
        return f"{at} is {shown}, expected a struct of {', '.join(fields) or 'A, B, C and D'}"
    names = [found.field(i).name for i in range(found.num_fields)]
    if repeated := [name for name, n in Counter(names).items() if n > 1]:
        return f"{at} has field {repeated[0]!r} twice, expected once"
    if kind == LETTERED:
        if not names or any(len(name) != 1 or not "A" <= name <= "Z" for name in names):
            return f"{at} has fields {names}, expected the letters of the options: A, B, C and D"
        fields = dict.fromkeys(names, TEXT)
    for name, inner in fields.items():
        if name not in names:
            return f"{at} has no field {name!r}; it has {names}"
        if difference := _difference(inner, found.field(name).type, f"{at}.{name}"):
            return difference
    return None


def _holds_text(kind: Kind) -> bool:
    return kind not in (PICTURE, [PICTURE])


def _check_size(file: Path, metadata: pq.FileMetaData, wanted: Mapping[str, Kind]) -> None:
    """Refuse a file that unfolds to more than memory holds, by its footer, before anything of it is read.

    Raises:
        BenchmarkError: more bytes or values than :data:`MAX_TEXT_BYTES` and the others say.
    """
    sizes: Counter[bool] = Counter()
    values: Counter[str] = Counter()
    largest = 0
    for g in range(metadata.num_row_groups):
        group, pictures = metadata.row_group(g), 0
        for c in range(metadata.num_columns):
            chunk = group.column(c)
            name = next((n for n in wanted if f"{chunk.path_in_schema}.".startswith(f"{n}.")), None)
            if name is None:
                continue
            text = _holds_text(wanted[name])
            sizes[text] += chunk.total_uncompressed_size
            pictures += 0 if text else chunk.total_uncompressed_size
            values[chunk.path_in_schema] += chunk.num_values
        largest = max(largest, pictures)
    for found, limit, what in (
        (sizes[True], MAX_TEXT_BYTES, "bytes of text"),
        (sizes[False], MAX_PICTURE_BYTES, "bytes of pictures"),
        (largest, MAX_GROUP_BYTES, "bytes of pictures in one row group"),
        (max(values.values(), default=0), MAX_VALUES, "values in a column"),
        (metadata.num_rows, MAX_ROWS, "rows"),
    ):
        if found > limit:
            raise BenchmarkError(f"{file}: unfolds to {found} {what}, expected at most {limit}; {_OTHER_FILE}")


def _refuse_compression(file: Path, source: pa.NativeFile) -> None:
    """Refuse an arrow stream with compressed batches: it has no footer that says what they unfold to.

    pyarrow does not say whether a batch is compressed; the flatbuffer in front of it does (field 3 of RecordBatch, in field 2 of
    Message; https://github.com/apache/arrow/blob/main/format/Message.fbs).

    Raises:
        BenchmarkError: a compressed batch.
    """
    for message in pa.ipc.MessageReader.open_stream(source):
        if message.type != "record batch":
            continue
        header = message.metadata.to_pybytes()
        try:
            table = _flatbuffer_field(header, struct.unpack_from("<I", header, 0)[0], 2)
            batch = table and table + struct.unpack_from("<I", header, table)[0]
            compressed = bool(batch and _flatbuffer_field(header, batch, 3))
        except struct.error as error:
            raise BenchmarkError(f"{file}: not a readable arrow file (a broken message); download it again") from error
        if compressed:
            raise BenchmarkError(f"{file}: is a compressed arrow file, expected one as save_to_disk leaves it")


def _flatbuffer_field(buffer: bytes, table: int, number: int) -> int:
    """Where a field of a table is in a flatbuffer; 0 where the table lacks it."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    (size,) = struct.unpack_from("<H", buffer, vtable)
    at = 4 + 2 * number
    offset: int = struct.unpack_from("<H", buffer, vtable + at)[0] if at < size else 0
    return table + offset if offset else 0


def picture(where: str, value: Any) -> bytes:
    """The encoded file of a picture's cell, decoded once to see that it can be.

    Raises:
        BenchmarkError: no bytes, or a picture that is not accepted, see :mod:`unsee.core.images`.
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
