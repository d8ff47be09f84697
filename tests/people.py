"""Who is in some files, by content: names in any text, pictures by their bytes, ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


@dataclass(frozen=True)
class Contents:
    """What parquet files hold.

    Attributes:
        names, ids: of their tables of people.
        pictures: digests of all bytes in any column.
        texts: all texts in any column.
    """

    names: set[str]
    ids: set[str]
    pictures: set[str]
    texts: set[str]

    def shared_with(self, other: Contents) -> list[tuple[str, str]]:
        """(kind, what) of each person here who occurs there: by id, by picture, or by name in any text."""
        text = "\n".join(sorted(other.texts))
        shared = [("id", person) for person in self.ids & (other.ids | other.texts)]
        shared += [("picture", digest) for digest in self.pictures & other.pictures]
        shared += [("name", name) for name in self.names if name in text]
        return sorted(shared)


def contents_of(files: Sequence[Path]) -> Contents:
    """The contents of parquet files."""
    texts, pictures, names, ids = set[str](), set[str](), set[str](), set[str]()
    for file in files:
        rows = pq.read_table(file).to_pylist()
        for value in _values(rows):
            if isinstance(value, bytes):
                pictures.add(hashlib.sha256(value).hexdigest())
            elif isinstance(value, str):
                texts.add(value)
        if file.stem == "people":
            names |= {row["name"] for row in rows}
            ids |= {row["person_id"] for row in rows}
    return Contents(names, ids, pictures, texts)


def _values(value: Any) -> Iterator[Any]:
    """Every value inside lists and rows."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _values(part)
    else:
        yield value
