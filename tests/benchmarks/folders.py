"""A folder of six people, written for tests: every question about the first of them can be checked by hand."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

HEADER = "id,Name,city,Favourite dish,pictures"
PEOPLE = [
    ["ada", "Ada Long", "Rome", "soup", "ada-1.png;ada-2.png"],
    ["ben", "Ben Short", "Oslo", "rice", "ben-1.png"],
    ["cleo", "Cleo Wise", "Rome", "pie", "cleo-1.png;more/cleo-2.png;more/cleo-3.png"],
    ["dan", "Dan Bold", "Oslo", "eggs", "dan-1.png"],
    ["eve", "Eve Stone", "Rome", "fish", "eve-1.png;eve-2.png"],
    ["fay", "Fay Brook", "Bonn", "cake", "fay-1.png;fay-2.png"],
]


def picture(colour: int) -> bytes:
    """A small picture whose left and right halves differ."""
    image = Image.new("RGB", (8, 8), (colour, 40, 90))
    image.paste((200, 220, colour), (4, 0, 8, 8))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def write(
    folder: Path,
    rows: Sequence[Sequence[str]] = PEOPLE,
    header: str = HEADER,
    files: Mapping[str, str | bytes] | None = None,
) -> Path:
    """Write ``people.csv``, the pictures that its rows name, and other files."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join([header, *(",".join(row) for row in rows)]) + "\n"
    (folder / "people.csv").write_text(text, encoding="utf-8")
    names = [name for row in PEOPLE for name in row[-1].split(";")]
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(picture(10 * number))
    for name, content in (files or {}).items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder
