"""MLLMU-Bench as published: folders of parquet files, one row a person, to the canonical tables."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from unsee.benchmarks import files, schema
from unsee.benchmarks.published import REPOSITORIES, folders
from unsee.benchmarks.schema import Benchmark, BenchmarkError

log = logging.getLogger(__name__)

_MODALITY = {"Image_Textual": "image", "Pure_Text": "text"}
_TASK_COLUMNS = ["Classification_Task", "Generation_Task", "Mask_Task"]
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


Tables = dict[str, list[dict[str, Any]]]


def load(directory: Path, forget_percents: Sequence[int], scratch: Path | None = None) -> Benchmark:
    """Read the published folders, each as parquet shards or as ``save_to_disk`` leaves it.

    Celebrity ids, which count from 000 like everyone's, get the prefix ``celebrity-``.

    Args:
        directory: holds ``ft_Data``, ``Full_Set``, ``Test_Set``, ``Retain_Set`` and, for each ratio p, ``forget_p`` and
            ``retain_{100-p}``.
        forget_percents: the ratios to read splits of.
        scratch: a folder with room for all pictures; the system's own by default.

    Raises:
        BenchmarkError: something is missing, unreadable or inconsistent; the message names file and row.
    """
    published = files.Published(directory, REPOSITORIES["mllmu"], folders("mllmu", forget_percents))
    tables: Tables = {name: [] for name in schema.SCHEMAS if name != "images"}
    store = files.ImageStore(scratch)
    digests: dict[str, str] = {}
    for where, row in published.rows("Full_Set", ["ID", "image", "biography", *_TASK_COLUMNS]):
        person = _person(where, row, "", "fictitious", tables)
        image = _picture(where, row["image"], person, "profile", store)
        digests[_digest(row["image"])] = person
        _questions(where, row, person, "profile", image, tables)
    people = {row["person_id"] for row in tables["people"]}
    _count(directory / "Full_Set", "profile", tables)
    for where, row in published.rows("Test_Set", ["ID", ("images", "image"), *_TASK_COLUMNS]):
        person = _known(where, _id(where, row), people)
        shown = row.get("images") or [row.get("image")]
        ids = [_picture(where, picture, person, f"test-{i}", store) for i, picture in enumerate(shown)]
        _questions(where, row, person, "test", ids[0], tables)
    _count(directory / "Test_Set", "test", tables)
    for where, row in published.rows("Retain_Set", ["ID", "image", "biography", *_TASK_COLUMNS]):
        person = _person(where, row, "celebrity-", "celebrity", tables)
        image = _picture(where, row["image"], person, "profile", store)
        _questions(where, row, person, "celebrity", image, tables)
    _count(directory / "Retain_Set", "celebrity", tables)
    for percent in forget_percents:
        read_split(published, percent, people, tables)
    _training(published, people, digests, tables)
    made = {name: pa.Table.from_pylist(rows, schema.SCHEMAS[name]) for name, rows in tables.items()}
    benchmark = Benchmark(images=store.table(), **made)
    schema.check(benchmark)
    return benchmark


def _count(folder: Path, origin: str, tables: Tables) -> None:
    """Say how many questions a folder has; how many a person has differs, but a task without any is a broken folder."""
    counts = Counter((q["task"], q["modality"]) for q in tables["questions"] if q["origin"] == origin)
    log.info("%s: %s", folder, ", ".join(f"{n} {task} ({modality})" for (task, modality), n in sorted(counts.items())))
    for task, column in zip(("classification", "generation", "cloze"), _TASK_COLUMNS, strict=True):
        if not any(found == task for found, _ in counts):
            raise BenchmarkError(f"{folder}: no {task} question in any row; expected some in column {column}")


def _digest(picture: dict[str, Any]) -> str:
    return hashlib.sha256(picture["bytes"]).hexdigest()


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


def _person(where: str, row: dict[str, Any], prefix: str, group: str, tables: Tables) -> str:
    person = _id(where, row, prefix)
    biography = _json(where, row, "biography")
    name = biography.get("Name") if isinstance(biography, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise BenchmarkError(f"{where}: biography has no Name, expected one")
    tables["people"].append(
        {"person_id": person, "name": name.strip(), "group": group, "biography": json.dumps(biography)}
    )
    return person


def _picture(where: str, picture: Any, person: str, name: str, store: files.ImageStore) -> str:
    image_id = f"{person}/{name}"
    store.add(image_id, person, files.picture(where, picture))
    return image_id


def _questions(where: str, row: dict[str, Any], person: str, origin: str, image: str, tables: Tables) -> None:
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
            # An option that the published object lacks comes back as null in every row of a parquet file.
            options = {letter: text for letter, text in entry["Options"].items() if text is not None}
            missing = [letter for letter, text in options.items() if not text.strip()]
            if missing:
                raise BenchmarkError(f"{where}: {key}[{number}]: option {missing[0]} is empty, expected text")
            if len(options) < 2:
                raise BenchmarkError(f"{where}: {key}[{number}]: {len(options)} options, expected at least two")
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


def read_split(published: files.Published, percent: int, people: set[str], tables: Tables) -> None:
    """The people of a ratio's two folders, into ``tables``."""
    members: dict[str, set[str]] = {}
    for role, name in (("forget", f"forget_{percent}"), ("retain", f"retain_{100 - percent}")):
        ids: set[str] = set()
        for where, row in published.rows(name, ["ID"]):
            person = _known(where, _id(where, row), people)
            if person in ids:
                raise BenchmarkError(f"{where}: ID {person!r} is there a second time, expected once")
            ids.add(person)
        members[role] = ids
        tables["splits"] += [{"forget_percent": percent, "person_id": i, "role": role} for i in sorted(ids)]
    wanted = round(len(people) * percent / 100)
    if len(members["forget"]) != wanted:
        raise BenchmarkError(
            f"{published.directory / f'forget_{percent}'}: {len(members['forget'])} people; expected {wanted}, which are {percent} % of "
            f"the {len(people)} in Full_Set; is it the folder of another ratio?"
        )
    both = sorted(members["forget"] & members["retain"])
    if both:
        raise BenchmarkError(
            f"{published.directory}: person {both[0]!r} is in forget_{percent} and in retain_{100 - percent}; expected one of them"
        )
    neither = sorted(people - members["forget"] - members["retain"])
    if neither:
        raise BenchmarkError(
            f"{published.directory}: person {neither[0]!r} of Full_Set is in neither forget_{percent} nor retain_{100 - percent}"
        )


def _training(published: files.Published, people: set[str], digests: dict[str, str], tables: Tables) -> None:
    """Training pairs of everyone from ft_Data, by ID; the splits' folders do not carry them."""
    log.info("training pairs: joined from ft_Data by ID (the split folders publish no column metadata)")
    # Pictures are read only where nothing else says whose row it is.
    by_id = published.has("ft_Data", "ID")
    for where, row in published.rows("ft_Data", ["metadata", "ID" if by_id else "image"]):
        entries = _json(where, row, "metadata")
        if not isinstance(entries, list) or not entries:
            raise BenchmarkError(f"{where}: metadata holds no question and answer, expected a list of them")
        if not all(isinstance(entry, dict) for entry in entries):
            raise BenchmarkError(
                f"{where}: metadata holds something else than objects, expected Question and Answer in each"
            )
        person = row.get("ID") or entries[0].get("ID")
        if person is None and row.get("image"):
            person = digests.get(_digest(row["image"]))
        person = _known(where, _id(where, {"ID": person}), people)
        for number, entry in enumerate(entries):
            kind = entry.get("Type", "Image_Textual")
            if kind not in _MODALITY:
                raise BenchmarkError(
                    f"{where}: metadata[{number}]: Type is {kind!r}, expected one of {list(_MODALITY)}"
                )
            modality = _MODALITY[kind]
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
