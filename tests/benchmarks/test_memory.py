"""Files that unfold to more than memory holds are refused, and refusing them takes little of it."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import error_page
from tests.benchmarks.published_mllmu import Published
from tests.test_security import bomb
from unsee.benchmarks import synthetic

#: In a process of its own, which says how much it took at most.
LOAD = """
import re, sys
from pathlib import Path
from unsee.benchmarks import published
from unsee.benchmarks.schema import BenchmarkError
try:
    published.load("mllmu", Path(sys.argv[1]), [33])
except BenchmarkError as error:
    print(error)
    print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""
LIMIT = 1_500_000_000
FILE = "train-00000-of-00001.parquet"


def _rewrite(folder: Path, name: str, column: str, values: pa.Array) -> None:
    """Put another column into a configuration's file."""
    table = pq.read_table(folder / name / FILE)
    table = table.set_column(table.column_names.index(column), column, values)
    pq.write_table(table, folder / name / FILE, compression="zstd")


def _repeat(folder: Path, name: str, column: str, value: pa.Array, times: int) -> None:
    """Rows with the same value in a column, a row group each, compressed as well as it can be."""
    row = pq.read_table(folder / name / FILE).slice(0, 1)
    row = row.set_column(row.column_names.index(column), column, value)
    with pq.ParquetWriter(folder / name / FILE, row.schema, compression="zstd", use_dictionary=False) as writer:
        for _ in range(times):
            writer.write_table(row)


def _text(folder: Path) -> None:
    """3 GB of blanks, 60 MB at a time."""
    _repeat(folder, "Full_Set", "biography", pa.array([" " * 60_000_000]), 50)


def _dictionary(folder: Path) -> None:
    """One text of 30 MB, and 500 rows that refer to it: the footer counts it once."""
    row = pq.read_table(folder / "ft_Data" / FILE).to_pylist()[0]
    rows = [{**row, "ID": f"{i:03d}"} for i in range(500)]
    table = pa.Table.from_pylist(rows, synthetic.TRAINING)
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 500, pa.int32()), pa.array(["[" * 30_000_000]))
    pq.write_table(table.set_column(2, "metadata", text), folder / "ft_Data" / FILE, compression="zstd")


def _picture_column(data: bytes) -> pa.Array:
    return pa.StructArray.from_arrays([pa.array([data]), pa.array(["x"])], ["bytes", "path"])


def _pictures(folder: Path) -> None:
    """3 GB of pictures, 60 MB at a time."""
    _repeat(folder, "Full_Set", "image", _picture_column(b"\0" * 60_000_000), 50)


def _one_picture(folder: Path) -> None:
    """A picture of 400 MB: less than a row group may have, more than a row."""
    _repeat(folder, "Full_Set", "image", _picture_column(b"\0" * 400_000_000), 1)


def _nulls(folder: Path) -> None:
    """Five million entries that are null: a few hundred bytes."""
    kind = synthetic.PROFILE.field("Mask_Task").type
    values = pa.ListArray.from_arrays(
        pa.array([0, 5_000_000, 5_000_000, 5_000_000], pa.int32()), pa.nulls(5_000_000, kind.value_type)
    )
    _rewrite(folder, "Full_Set", "Mask_Task", values.cast(kind))


def _stream(folder: Path) -> None:
    """Blanks in an arrow stream, which has no footer."""
    table = pq.read_table(folder / "Full_Set" / FILE)
    values = pa.array([" " * 30_000_000] * 3)
    table = table.set_column(table.column_names.index("biography"), "biography", values)
    (folder / "Full_Set" / FILE).unlink()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(
        str(folder / "Full_Set" / "data-00000-of-00001.arrow"), table.schema, options=options
    ) as stream:
        stream.write_table(table)


def _rows(folder: Path) -> None:
    """Two million rows of one person."""
    table = pa.table({"ID": pa.DictionaryArray.from_arrays(pa.array([0] * 2_000_000, pa.int32()), pa.array(["001"]))})
    pq.write_table(table, folder / "forget_33" / FILE)


def _json(folder: Path) -> None:
    """A megabyte of JSON that unfolds to a list of half a million lists."""
    values = pa.array(["[" + "[]," * 333_000 + "[]]"] * 3)
    _rewrite(folder, "ft_Data", "metadata", values)


def _picture_bomb(folder: Path) -> None:
    """A picture of 46 million pixels, which may be, of zeros that end too early."""
    broken = bomb(6_800, 6_800).replace(zlib.compress(b""), zlib.compress(b"\0" * 100_000_000)[:-9])
    values = pa.array([{"bytes": broken, "path": "x"}] * 3, synthetic.PROFILE.field("image").type)
    _rewrite(folder, "Full_Set", "image", values)


CASES = {
    "a text that unfolds to 3 GB": (_text, "unfolds to 300", "bytes of text, expected at most 67108864"),
    "a text of 30 MB in 500 rows": (
        _dictionary,
        "unfolds to more than 67108864 bytes of text by row 2",
        "download it again",
    ),
    "pictures that unfold to 3 GB": (_pictures, "bytes of pictures, expected at most 2147483648", "download it again"),
    "a picture of 400 MB": (_one_picture, "row 0: has 4000", "bytes, expected at most 67108864"),
    "five million entries that are null": (
        _nulls,
        "unfolds to 5000002 values in a column, expected at most 200000",
        "",
    ),
    "a compressed arrow stream": (_stream, "is a compressed arrow file, expected one as save_to_disk leaves it", ""),
    "two million rows": (_rows, "unfolds to 2000000", "expected at most"),
    "JSON of half a million lists": (_json, "metadata[0] is [], expected an object", "and "),
    "a broken picture of 46 million pixels": (_picture_bomb, "row 0: ", "picture"),
}


@pytest.mark.parametrize("name", CASES)
def test_refusing_a_file_takes_little_memory(tmp_path: Path, name: str) -> None:
    spoil, *words = CASES[name]
    spoil(Published().write(tmp_path))
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.*")) < 14_000_000
    source = Path(synthetic.__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path)], capture_output=True, text=True, env={"PYTHONPATH": str(source)}
    )
    assert ended.returncode == 0, ended.stderr
    *lines, memory = ended.stdout.splitlines()
    for word in words:
        assert word in "\n".join(lines)
    assert int(memory) < LIMIT
    print(f"{int(memory) // 10**6} MB: {name}")
    error_page.check(name, "loading", "\n".join(lines).replace(str(tmp_path), "FOLDER"))
