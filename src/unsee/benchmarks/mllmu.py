"""MLLMU-Bench as published: folders of parquet files, one row a person, to the canonical tables."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from unsee.benchmarks import schema
from unsee.benchmarks.schema import Benchmark, BenchmarkError

log = logging.getLogger(__name__)

#: Larger pictures are refused: a small file can unpack to gigabytes.
MAX_PIXELS = 50_000_000
_MODALITY = {"Image_Textual": "image", "Pure_Text": "text"}
_TASK_COLUMNS = ["Classification_Task", "Generation_Task", "Mask_Task"]
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def load(directory: Path, forget_percents: Sequence[int]) -> Benchmark:
    """Read the published folders.

    Celebrity ids, which count from 000 like everyone's, get the prefix ``celebrity-``.

    Args:
        directory: holds ``ft_Data``, ``Full_Set``, ``Test_Set``, ``Retain_Set`` and, for each ratio p, ``forget_p`` and
            ``retain_{100-p}``, each with ``train-*.parquet``.
        forget_percents: the ratios to read splits of.

    Raises:
        BenchmarkError: something is missing, unreadable or inconsistent; the message names file and row.
    """
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in schema.SCHEMAS}
    digests: dict[str, str] = {}
    for where, row in _rows(directory / "Full_Set", ["ID", "image", "biography", *_TASK_COLUMNS]):
        person = _person(where, row, "", "fictitious", tables)
        image = _picture(where, row["image"], person, "profile", tables)
        digests[hashlib.sha256(row["image"]["bytes"]).hexdigest()] = person
        _questions(where, row, person, "profile", image, tables)
    people = {row["person_id"] for row in tables["people"]}
    for where, row in _rows(directory / "Test_Set", ["ID", ("images", "image"), *_TASK_COLUMNS]):
        person = _known(where, _id(where, row), people)
        shown = row.get("images") or [row.get("image")]
        ids = [_picture(where, picture, person, f"test-{i}", tables) for i, picture in enumerate(shown)]
        _questions(where, row, person, "test", ids[0], tables)
    for where, row in _rows(directory / "Retain_Set", ["ID", "image", "biography", *_TASK_COLUMNS]):
        person = _person(where, row, "celebrity-", "celebrity", tables)
        image = _picture(where, row["image"], person, "profile", tables)
        _questions(where, row, person, "celebrity", image, tables)
    for percent in forget_percents:
        _split(directory, percent, people, tables)
    _training(directory, people, digests, tables)
    benchmark = Benchmark(**{name: pa.Table.from_pylist(rows, schema.SCHEMAS[name]) for name, rows in tables.items()})
    schema.check(benchmark)
    return benchmark


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("train-*.parquet"))
    if not files:
        raise BenchmarkError(
            f"{folder}: no train-*.parquet; expected the folder {folder.name} of the published data set MLLMMU/MLLMU-Bench"
        )
    return files


def _rows(folder: Path, columns: Sequence[str | tuple[str, ...]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file and row, row) of a folder, a few rows in memory at a time; a tuple names alternative columns."""
    for file in _files(folder):
        try:
            parquet = pq.ParquetFile(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise BenchmarkError(f"{file}: not a readable parquet file ({error}); download it again") from error
        found = parquet.schema_arrow.names
        wanted = []
        for column in columns:
            names = (column,) if isinstance(column, str) else column
            present = [name for name in names if name in found]
            if not present:
                raise BenchmarkError(f"{file}: no column {' or '.join(names)!r}; it has {found}")
            wanted.append(present[0])
        number = 0
        try:
            for part in parquet.iter_batches(16, columns=wanted):
                for row in part.to_pylist():
                    yield f"{file}, row {number}", row
                    number += 1
        except (pa.ArrowInvalid, OSError) as error:
            raise BenchmarkError(f"{file}, row {number}: unreadable ({error}); download it again") from error


def _id(where: str, row: dict[str, Any], prefix: str = "") -> str:
    value = row["ID"]
    if not isinstance(value, str) or not _SAFE_ID.fullmatch(value):
        raise BenchmarkError(f"{where}: ID is {value!r}, expected letters, digits, '.', '_' and '-'")
    return prefix + value


def _known(where: str, person: str, people: set[str]) -> str:
    if person not in people:
        raise BenchmarkError(f"{where}: ID {person!r} is nobody in Full_Set")
    return person


def _json(where: str, row: dict[str, Any], column: str) -> Any:
    try:
        return json.loads(row[column])
    except (TypeError, json.JSONDecodeError) as error:
        raise BenchmarkError(f"{where}: {column} is not JSON ({error})") from error


def _person(where: str, row: dict[str, Any], prefix: str, group: str, tables: dict[str, list[dict[str, Any]]]) -> str:
    person = _id(where, row, prefix)
    biography = _json(where, row, "biography")
    name = biography.get("Name") if isinstance(biography, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise BenchmarkError(f"{where}: biography has no Name, expected one")
    tables["people"].append(
        {"person_id": person, "name": name.strip(), "group": group, "biography": json.dumps(biography)}
    )
    return person


def _picture(where: str, picture: Any, person: str, name: str, tables: dict[str, list[dict[str, Any]]]) -> str:
    data = picture.get("bytes") if isinstance(picture, dict) else None
    if not data:
        raise BenchmarkError(f"{where}: the picture has no bytes, expected an encoded file")
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BenchmarkError(
                    f"{where}: a picture of {image.width}x{image.height} pixels, expected at most {MAX_PIXELS}"
                )
            image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise BenchmarkError(f"{where}: the picture cannot be decoded ({error}); replace it") from error
    image_id = f"{person}/{name}"
    tables["images"].append({"image_id": image_id, "person_id": person, "bytes": data})
    return image_id


def _questions(
    where: str, row: dict[str, Any], person: str, origin: str, image: str, tables: dict[str, list[dict[str, Any]]]
) -> None:
    def add(modality: str, task: str, number: int, question: Any, answer: Any, options: list[str]) -> None:
        for key, text in (("Question", question), ("answer", answer)):
            if not isinstance(text, str) or not text.strip():
                raise BenchmarkError(
                    f"{where}: {task} question {number} ({modality}): {key} is {text!r}, expected text"
                )
        tables["questions"].append(
            {
                "question_id": f"{origin}/{person}/{modality}/{task}/{number}",
                "person_id": person,
                "origin": origin,
                "modality": modality,
                "task": task,
                "image_id": image if modality == "image" else None,
                "question": question.strip(),
                "options": options,
                "answer": answer.strip(),
                "answer_index": options.index(answer) if options else -1,
            }
        )

    for key, modality in (("Image_Textual_Questions", "image"), ("Pure_Text_Questions", "text")):
        for number, entry in enumerate((row["Classification_Task"] or {}).get(key) or []):
            options = entry["Options"]
            missing = [letter for letter, text in options.items() if not text]
            if missing:
                raise BenchmarkError(f"{where}: {key}[{number}]: option {missing[0]} is empty, expected text")
            if entry["Correct_Answer"] not in options:
                raise BenchmarkError(
                    f"{where}: {key}[{number}]: Correct_Answer is {entry['Correct_Answer']!r}, expected one of {list(options)}"
                )
            answer = options[entry["Correct_Answer"]]
            add(modality, "classification", number, entry["Question"], answer, list(options.values()))
    for column, task in (("Generation_Task", "generation"), ("Mask_Task", "cloze")):
        counts = dict.fromkeys(_MODALITY.values(), 0)
        for entry in row[column] or []:
            if entry["Type"] not in _MODALITY:
                raise BenchmarkError(f"{where}: {column}: Type is {entry['Type']!r}, expected one of {list(_MODALITY)}")
            modality = _MODALITY[entry["Type"]]
            add(modality, task, counts[modality], entry["Question"], entry["Ground_Truth"], [])
            counts[modality] += 1


def _split(directory: Path, percent: int, people: set[str], tables: dict[str, list[dict[str, Any]]]) -> None:
    members: dict[str, set[str]] = {}
    for role, name in (("forget", f"forget_{percent}"), ("retain", f"retain_{100 - percent}")):
        ids = {_known(where, _id(where, row), people) for where, row in _rows(directory / name, ["ID"])}
        members[role] = ids
        tables["splits"] += [{"forget_percent": percent, "person_id": i, "role": role} for i in sorted(ids)]
    both = sorted(members["forget"] & members["retain"])
    if both:
        raise BenchmarkError(
            f"{directory}: person {both[0]!r} is in forget_{percent} and in retain_{100 - percent}; expected one of them"
        )
    neither = sorted(people - members["forget"] - members["retain"])
    if neither:
        raise BenchmarkError(
            f"{directory}: person {neither[0]!r} of Full_Set is in neither forget_{percent} nor retain_{100 - percent}"
        )


def _training(
    directory: Path, people: set[str], digests: dict[str, str], tables: dict[str, list[dict[str, Any]]]
) -> None:
    """Training pairs of everyone from ft_Data, by ID; the splits' folders do not carry them."""
    log.info("training pairs: joined from ft_Data by ID (the split folders publish none)")
    columns: list[str | tuple[str, ...]] = ["metadata", "image"]
    if "ID" in pq.read_schema(_files(directory / "ft_Data")[0]).names:
        columns.append("ID")
    for where, row in _rows(directory / "ft_Data", columns):
        entries = _json(where, row, "metadata")
        if not isinstance(entries, list) or not entries:
            raise BenchmarkError(f"{where}: metadata holds no question and answer, expected a list of them")
        person = row.get("ID") or entries[0].get("ID")
        if person is None and row["image"]:
            person = digests.get(hashlib.sha256(row["image"]["bytes"]).hexdigest())
        person = _known(where, _id(where, {"ID": person}), people)
        for number, entry in enumerate(entries):
            modality = _MODALITY[entry.get("Type", "Image_Textual")]
            for key in ("Question", "Answer"):
                if not str(entry.get(key) or "").strip():
                    raise BenchmarkError(f"{where}: metadata[{number}]: {key} is empty, expected text")
            tables["training_pairs"].append(
                {
                    "pair_id": f"{person}/{number:02d}",
                    "person_id": person,
                    "modality": modality,
                    "image_id": f"{person}/profile" if modality == "image" else None,
                    "question": entry["Question"].strip(),
                    "answer": entry["Answer"].strip(),
                }
            )
