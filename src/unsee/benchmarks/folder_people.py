"""The people of a user's folder: ``people.csv`` or ``people.parquet``, one row a person, and ``celebrities.csv`` likewise.

Columns: ``name``; ``pictures``, paths of files in the folder with ``;`` between them; optionally ``id`` (by default the name).
Every other column is an attribute, unless ``templates.yaml`` says that it is not used. Rows of a CSV file are numbered as a spreadsheet
shows them: the columns' names are row 1.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unsee.benchmarks import folder_templates
from unsee.benchmarks.cells import clean, show
from unsee.benchmarks.problems import Problems
from unsee.benchmarks.schema import BenchmarkError
from unsee.core.text import comparable

#: Columns that are no attributes.
COLUMNS = ("id", "name", "pictures")
#: Words that templates use for something else than a column.
RESERVED = ("who", "value", "attribute", "other")
#: With two people, one to forget and one to retain, nobody else's values would be wrong options.
FEWEST_PEOPLE = 3


@dataclass(frozen=True)
class Person:
    """One row.

    Attributes:
        where: file and row.
        person_id, name: both occur once in a file.
        values: the attributes by column, without those that are not used.
        pictures: the picture files, at least one.
    """

    where: str
    person_id: str
    name: str
    values: dict[str, str]
    pictures: list[Path]


def find_table(folder: Path, stem: str = "people") -> Path | None:
    """The table of a folder; None if it has none.

    Raises:
        BenchmarkError: there is a CSV and a parquet file.
    """
    files = [folder / f"{stem}.{suffix}" for suffix in ("csv", "parquet") if (folder / f"{stem}.{suffix}").is_file()]
    if len(files) > 1:
        raise BenchmarkError(f"{folder}: has {files[0].name} and {files[1].name}; expected one of them")
    return files[0] if files else None


def read_people(folder: Path, stem: str = "people", problems: Problems | None = None) -> list[Person]:
    """Read and check a table without opening pictures.

    Args:
        folder: the user's folder.
        stem: ``people`` or ``celebrities``; a folder without the file has no celebrities.
        problems: receives what is wrong with single rows; by default they are raised.

    Raises:
        BenchmarkError: the table cannot be read, or lacks columns or people; one line for each problem.
    """
    file = find_table(folder, stem)
    if file is None:
        if stem == "people":
            raise BenchmarkError(
                f"{folder}: has no people.csv or people.parquet; expected one row for each person there"
            )
        return []
    collected = Problems() if problems is None else problems
    unused = folder_templates.unused_columns(folder)
    columns, rows = _read_csv(file) if file.suffix == ".csv" else _read_parquet(file)
    _check_columns(file, columns)
    names, ids = dict[str, str](), dict[str, str]()
    people = []
    for where, cells in rows:
        with collected.collect(where):
            if len(cells) != len(columns):
                raise BenchmarkError(
                    f"{where}: has {len(cells)} cells, expected {len(columns)} as in the first row; a text with a comma needs quotes"
                )
            row = dict(zip(columns, cells, strict=True))
            person = _person(folder, where, {column: row[column] for column in columns if column not in unused})
            _once(person.where, "name", person.name, names)
            _once(person.where, "id", person.person_id, ids)
            people.append(person)
    if not collected:
        _check_numbers(file, people)
    if problems is None:
        collected.raise_if_any()
    return people


def attributes(people: Sequence[Person]) -> list[str]:
    """The columns of attributes, in their order."""
    return list(people[0].values) if people else []


def _read_csv(file: Path) -> tuple[list[str], Iterator[tuple[str, list[str]]]]:
    data = file.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise BenchmarkError(
            f"{file}, row {row}: is not UTF-8 (byte {data[error.start]:#04x}); save it as 'CSV UTF-8'"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[str, list[str]]] = []
    try:
        for number, cells in enumerate(reader, 1):
            rows.append((f"{file}, row {number}", cells))
    except csv.Error as error:
        raise BenchmarkError(
            f"{file}, row {len(rows) + 1}: cannot be read ({error}); are all quotes closed?"
        ) from error
    header = rows[0][1] if rows else []
    if len(header) == 1 and re.search("[;\t]", header[0]):
        raise BenchmarkError(f"{file}, row 1: is one cell, {show(header[0])}; expected commas between columns")
    return header, ((where, cells) for where, cells in rows[1:] if any(cell.strip() for cell in cells))


def _read_parquet(file: Path) -> tuple[list[str], Iterator[tuple[str, list[str]]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise BenchmarkError(f"{file}: not a readable parquet file ({' '.join(str(error).split())[:200]})") from error
    rows = (
        (f"{file}, row {number}", ["" if value is None else str(value) for value in row.values()])
        for number, row in enumerate(table.to_pylist())
    )
    return table.column_names, rows


def _check_columns(file: Path, columns: list[str]) -> None:
    """Bring the columns' names into the form of placeholders, in place, and check them.

    Raises:
        BenchmarkError: a column is missing, repeated or has no usable name; the message lists all of them.
    """
    columns[:] = [re.sub(r"\s+", "_", name.strip()).casefold() for name in columns]
    problems = [
        f"{file}: column {number} is {show(name)}; expected a name of letters, digits and underscores that begins with a letter"
        for number, name in enumerate(columns, 1)
        if not name.isidentifier() or name.startswith("_")
    ]
    problems += [
        f"{file}: has no column {name}; it has {', '.join(columns)}"
        for name in ("name", "pictures")
        if name not in columns
    ]
    problems += [f"{file}: has the column {name} twice" for name in dict.fromkeys(columns) if columns.count(name) > 1]
    problems += [
        f"{file}: column {name} has a name with a meaning in templates; rename it"
        for name in RESERVED
        if name in columns
    ]
    if problems:
        raise BenchmarkError("\n".join(problems))


def _person(folder: Path, where: str, row: dict[str, str]) -> Person:
    values = {column: " ".join(_cell(where, column, row[column]).split()) for column in row if column != "pictures"}
    name = _safe(where, "name", values.pop("name"))
    person_id = _safe(where, "id", values.pop("id", name))
    return Person(where, person_id, name, values, _pictures(folder, where, row["pictures"]))


def _cell(where: str, column: str, text: str) -> str:
    """A cell's text, checked."""
    if not text.strip():
        raise BenchmarkError(f"{where}, column {column}: is empty; expected a text in every cell")
    return clean(where, f"column {column}", text)


def _safe(where: str, column: str, text: str) -> str:
    """A name or an id, which may become part of ids of pictures."""
    if text.startswith(".") or re.search(r"[/\\]", text) or not text.isprintable() or len(text) > 100:
        raise BenchmarkError(
            f"{where}, column {column}: is {show(text)}; expected at most 100 characters, no slash, and no dot in front"
        )
    return text


def _once(where: str, column: str, text: str, seen: dict[str, str]) -> None:
    first = seen.setdefault(comparable(text), where)
    if first != where:
        raise BenchmarkError(
            f"{where}, column {column}: {text!r} is also in {first.rpartition(', ')[2]}; expected it once"
        )


def _pictures(folder: Path, where: str, cell: str) -> list[Path]:
    """The files of a cell, which must be in the folder.

    Raises:
        BenchmarkError: no file, one that does not exist, one twice, or one that is elsewhere.
    """
    names = [name.strip() for name in _cell(where, "pictures", cell).split(";") if name.strip()]
    files = []
    for name in names:
        place = f"{where}, column pictures: {name!r}"
        file = folder / name
        if Path(name).is_absolute() or not file.resolve().is_relative_to(folder.resolve()):
            raise BenchmarkError(f"{place} is not in {folder}; expected a path within it, with / between folders")
        if not file.is_file():
            raise BenchmarkError(f"{place} is no file in {folder}; expected a picture (several have ; between them)")
        if file in files:
            raise BenchmarkError(f"{place} is there twice; expected it once")
        files.append(file)
    if not files:
        raise BenchmarkError(f"{where}, column pictures: is {show(cell)}; expected at least one file")
    return files


def _check_numbers(file: Path, people: Sequence[Person]) -> None:
    """Check that there are people and attributes, and that every question has wrong options.

    Raises:
        BenchmarkError: too few people, no attribute, or an attribute with one value.
    """
    if len(people) < FEWEST_PEOPLE:
        raise BenchmarkError(f"{file}: has {len(people)} people; expected at least {FEWEST_PEOPLE}")
    if not attributes(people):
        raise BenchmarkError(f"{file}: has no column to ask about besides {', '.join(COLUMNS)}; expected at least one")
    problems = []
    for column in attributes(people):
        values = {comparable(person.values[column]) for person in people}
        if len(values) < 2:
            problems.append(
                f"{file}: column {column} is {people[0].values[column]!r} in every row; expected at least two values, because "
                f"wrong options are other people's; or '{column}: false' in templates.yaml"
            )
    if problems:
        raise BenchmarkError("\n".join(problems))
