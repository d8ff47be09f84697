"""Check a published file before it is read: the types of its columns, and the size that it unpacks to."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unsee.benchmarks.schema import BenchmarkError

#: Limits, from the file's footer, of the unpacked bytes: all columns of text; all pictures; the pictures of one row group.
#: The largest published file has about 5 MB of text and 0.5 GB of pictures.
MAX_TEXT_BYTES = 64 * 2**20
MAX_PICTURE_BYTES = 2 * 2**30
MAX_GROUP_BYTES = 2**29
#: Limit of the unpacked bytes of one row; a published row has at most a few megabytes.
MAX_ROW_BYTES = 64 * 2**20
#: Limits of the rows of a file and of the values of a column of lists. The largest published file has about 8,000 of each.
MAX_ROWS = 100_000
MAX_VALUES = 200_000
OTHER_FILE = "this is not the published file, download it again"
_ROWS_PER_BATCH = 8

#: Kinds of columns. ``[kind]`` is a list, ``{field: kind}`` a struct.
TEXT = "text"
#: A struct with the encoded file in ``bytes``.
PICTURE = "picture"
#: A struct of texts whose fields are capital letters.
LETTERED = "lettered"
Kind = str | list[Any] | dict[str, Any]


def read_schema(file: Path) -> pa.Schema:
    """The columns of a parquet or arrow file and their types."""
    if file.suffix == ".parquet":
        return pq.read_schema(file)
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_stream(source).schema


def open_file(
    file: Path, columns: Mapping[str, Kind], one_of: Mapping[str, Kind]
) -> tuple[list[str], Callable[[], Iterator[pa.RecordBatch]]]:
    """Check a file and return the names of the columns to read, and a function that reads them in batches.

    Args:
        file: a parquet file or an arrow stream.
        columns: the columns that it must have.
        one_of: alternatives; the first one that the file has is read too.

    Raises:
        BenchmarkError: a column is missing or has another type, or the file unpacks to too many bytes.
    """
    if file.suffix == ".parquet":
        parquet = pq.ParquetFile(file)
        wanted = _columns(file, parquet.schema_arrow, columns, one_of)
        _check_size(file, parquet.metadata, wanted)
        return list(wanted), lambda: parquet.iter_batches(_ROWS_PER_BATCH, columns=list(wanted))
    source = pa.memory_map(str(file))
    _refuse_compression(file, source)
    source.seek(0)
    stream = pa.ipc.open_stream(source)
    wanted = _columns(file, stream.schema, columns, one_of)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in stream:
            selected = batch.select(list(wanted))
            selected.validate(full=True)  # reading an arrow file checks no offsets
            yield selected

    return list(wanted), batches


def holds_text(kind: Kind) -> bool:
    """Whether a column counts as text for the limits of size."""
    return kind not in (PICTURE, [PICTURE])


def cell_bytes(cell: pa.Array) -> int:
    """The bytes of a cell; for a dictionary-encoded cell, those of its value."""
    return int((cell.dictionary_decode() if pa.types.is_dictionary(cell.type) else cell).nbytes)


def _columns(file: Path, schema: pa.Schema, columns: Mapping[str, Kind], one_of: Mapping[str, Kind]) -> dict[str, Kind]:
    """The columns to read and their kinds.

    Raises:
        BenchmarkError: a column is missing, repeated, or of another type; the message lists all of them.
    """
    names = schema.names
    wanted, problems = dict(columns), []
    alternative = next((name for name in one_of if name in names), None)
    if alternative:
        wanted[alternative] = one_of[alternative]
    missing = [name for name in columns if name not in names]
    if one_of and not alternative:
        missing.append(" or ".join(one_of))
    problems += [f"{file}: no column {name!r}; it has {names}" for name in missing]
    for name, kind in wanted.items():
        if names.count(name) > 1:
            problems.append(f"{file}: {names.count(name)} columns {name!r}, expected one")
        elif name in names and (difference := _difference(kind, schema.field(name).type, "")):
            problems.append(f"{file}: column {name!r}{difference}")
    if problems:
        raise BenchmarkError("\n".join(problems))
    return wanted


def _difference(kind: Kind, actual: pa.DataType, at: str) -> str | None:
    """How a column's type differs from its kind, with the path of the field; None if it fits. A null type fits every kind."""
    types = pa.types
    if types.is_null(actual):
        return None
    if types.is_dictionary(actual):
        actual = actual.value_type
    shown = str(actual) if len(str(actual)) < 80 else f"{str(actual)[:76]} ..."
    if kind == TEXT:
        text = types.is_string(actual) or types.is_large_string(actual) or types.is_string_view(actual)
        return None if text else f"{at} is {shown}, expected text"
    if kind == "binary":
        binary = types.is_binary(actual) or types.is_large_binary(actual) or types.is_binary_view(actual)
        return None if binary else f"{at} is {shown}, expected binary"
    if isinstance(kind, list):
        if not (types.is_list(actual) or types.is_large_list(actual) or types.is_fixed_size_list(actual)):
            return f"{at} is {shown}, expected a list"
        return _difference(kind[0], actual.value_type, f"{at}[]")
    fields: dict[str, Kind] = {"bytes": "binary"} if kind == PICTURE else kind if isinstance(kind, dict) else {}
    if not types.is_struct(actual):
        return f"{at} is {shown}, expected a struct of {', '.join(fields) or 'A, B, C and D'}"
    names = [actual.field(i).name for i in range(actual.num_fields)]
    if repeated := [name for name, n in Counter(names).items() if n > 1]:
        return f"{at} has field {repeated[0]!r} twice, expected once"
    if kind == LETTERED:
        if not names or any(len(name) != 1 or not "A" <= name <= "Z" for name in names):
            return f"{at} has fields {names}, expected the letters of the options: A, B, C and D"
        fields = dict.fromkeys(names, TEXT)
    for name, inner in fields.items():
        if name not in names:
            return f"{at} has no field {name!r}; it has {names}"
        if difference := _difference(inner, actual.field(name).type, f"{at}.{name}"):
            return difference
    return None


def _check_size(file: Path, metadata: pq.FileMetaData, wanted: Mapping[str, Kind]) -> None:
    """Refuse a file that unpacks to more than fits in memory. Only its footer is read.

    Raises:
        BenchmarkError: more bytes, rows or values than the limits above.
    """
    sizes: Counter[bool] = Counter()
    values: Counter[str] = Counter()
    largest_group = 0
    for g in range(metadata.num_row_groups):
        group, pictures = metadata.row_group(g), 0
        for c in range(metadata.num_columns):
            chunk = group.column(c)
            name = next((n for n in wanted if f"{chunk.path_in_schema}.".startswith(f"{n}.")), None)
            if name is None:
                continue
            text = holds_text(wanted[name])
            sizes[text] += chunk.total_uncompressed_size
            pictures += 0 if text else chunk.total_uncompressed_size
            values[chunk.path_in_schema] += chunk.num_values
        largest_group = max(largest_group, pictures)
    for size, limit, unit in (
        (sizes[True], MAX_TEXT_BYTES, "bytes of text"),
        (sizes[False], MAX_PICTURE_BYTES, "bytes of pictures"),
        (largest_group, MAX_GROUP_BYTES, "bytes of pictures in one row group"),
        (max(values.values(), default=0), MAX_VALUES, "values in a column"),
        (metadata.num_rows, MAX_ROWS, "rows"),
    ):
        if size > limit:
            raise BenchmarkError(f"{file}: unfolds to {size} {unit}, expected at most {limit}; {OTHER_FILE}")


def _refuse_compression(file: Path, source: pa.NativeFile) -> None:
    """Refuse an arrow stream with compressed batches: it has no footer with the unpacked size.

    pyarrow does not report whether a batch is compressed. The flatbuffer in front of the batch does: field 3 of RecordBatch,
    which is field 2 of Message (https://github.com/apache/arrow/blob/main/format/Message.fbs).

    Raises:
        BenchmarkError: a batch is compressed.
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
    """The offset of a table's field in a flatbuffer; 0 if the table lacks the field."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    (size,) = struct.unpack_from("<H", buffer, vtable)
    at = 4 + 2 * number
    offset: int = struct.unpack_from("<H", buffer, vtable + at)[0] if at < size else 0
    return table + offset if offset else 0
