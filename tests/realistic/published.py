"""Miniatures of the published data sets: their folders, columns and shards, and pictures of the sizes and modes that occur."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.benchmarks.test_clear import Published as Clear
from unsee.benchmarks import synthetic

#: Size, mode and file format of pictures. The first, as large as a generated face, is the celebrity's only: it takes long to train on.
PICTURES = [
    ((1024, 1024), "RGB", "JPEG"),
    ((336, 336), "RGB", "PNG"),
    ((220, 330), "L", "JPEG"),
    ((400, 300), "RGBA", "PNG"),
    ((480, 360), "P", "PNG"),
    ((250, 140), "CMYK", "JPEG"),
]


def mllmu(folder: Path, *, people: int = 8, celebrities: int = 1, percents: tuple[int, ...] = (40,)) -> Path:
    """MLLMU-Bench's folders, with fewer people.

    As published and unlike the synthetic benchmark: every training pair has a picture, ft_Data has no column ``ID``, and Test_Set shows
    several pictures of a person.
    """
    synthetic.write(folder, people=people, celebrities=celebrities, forget_percents=percents, seed=3)
    for file in sorted(folder.rglob("*.parquet")):
        table = pq.read_table(file)
        rows = [_as_published(row, celebrity=file.parent.name == "Retain_Set") for row in table.to_pylist()]
        schema = table.schema
        if file.parent.name == "ft_Data":
            rows = [{key: row[key] for key in ("image", "metadata")} for row in rows]
            schema = pa.schema([schema.field("image"), schema.field("metadata")])
        pq.write_table(pa.Table.from_pylist(rows, schema), file)
    return folder


def clear(folder: Path) -> Path:
    """CLEAR's folders with three authors, one of whom is to be forgotten."""
    published = Clear()
    seen: dict[bytes, dict[str, Any]] = {}
    for rows in published.rows.values():
        for row in rows:
            if row.get("image"):
                data = row["image"]["bytes"]
                row["image"] = seen.setdefault(data, _picture(row["image"], len(seen)))
    return published.write(folder)


def ratio(folder: Path) -> int:
    """The forget ratio of a miniature, in percent."""
    (percent,) = {
        int(match.group(1)) for path in folder.iterdir() if (match := re.fullmatch(r"forget_?(\d+)", path.name))
    }
    return percent


def _as_published(row: dict[str, Any], *, celebrity: bool) -> dict[str, Any]:
    others, number = len(PICTURES) - 1, int(row["ID"])
    if "image" in row:
        row["image"] = _picture(row["image"], 0 if celebrity else 1 + number % others)
    if "images" in row:
        row["images"] = [_picture(picture, 1 + (number + i) % others) for i in (1, 2) for picture in row["images"]]
    if "metadata" in row:
        pairs = [pair for pair in json.loads(row["metadata"]) if "Type" not in pair]
        row["metadata"] = json.dumps(pairs)
    return row


def _picture(picture: dict[str, Any], number: int) -> dict[str, Any]:
    """The picture in the size, mode and format of its number."""
    size, mode, kind = PICTURES[number % len(PICTURES)]
    image = Image.open(io.BytesIO(picture["bytes"])).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.convert(mode).save(file, kind)
    return {"bytes": file.getvalue(), "path": f"{number}.{kind.lower()}"}
