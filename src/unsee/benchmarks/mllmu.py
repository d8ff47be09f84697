"""MLLMU-Bench as published: folders of parquet files with one row a person."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from unsee.benchmarks import readers
from unsee.benchmarks.cells import clean, parse_json, show
from unsee.benchmarks.columns import LETTERED, PICTURE, TEXT, Kind
from unsee.benchmarks.readers import ImageStore, PublishedFolder, check_members
from unsee.benchmarks.rows import Row, Tables, pair_row, person_row, question_row, split_rows
from unsee.benchmarks.schema import BenchmarkError
from unsee.core.text import comparable

log = logging.getLogger(__name__)

_MODALITY = {"Image_Textual": "image", "Pure_Text": "text"}
_CHOICES = [{"Question": TEXT, "Options": LETTERED, "Correct_Answer": TEXT}]
_OPEN = [{"Type": TEXT, "Question": TEXT, "Ground_Truth": TEXT}]
_TASKS: dict[str, Kind] = {
    "Classification_Task": {"Image_Textual_Questions": _CHOICES, "Pure_Text_Questions": _CHOICES},
    "Generation_Task": _OPEN,
    "Mask_Task": _OPEN,
}
_PROFILE: dict[str, Kind] = {"ID": TEXT, "image": PICTURE, "biography": TEXT, **_TASKS}
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def read_tables(folder: PublishedFolder, forget_percents: Sequence[int], images: ImageStore) -> Tables:
    """Read ``Full_Set``, ``Test_Set``, ``Retain_Set``, ``ft_Data`` and the folders of each ratio.

    Celebrities are numbered from 000 like the fictitious people, so their ids get the prefix ``celebrity-``.

    Raises:
        BenchmarkError: ``Full_Set`` has problems, so that the other folders cannot be checked against it.
    """
    tables: Tables = defaultdict(list)
    people, owners = _read_profiles(folder, "Full_Set", "profile", tables, images)
    folder.problems.raise_if_any()
    _read_test_questions(folder, people, tables, images)
    _read_profiles(folder, "Retain_Set", "celebrity", tables, images)
    for percent in forget_percents:
        tables["splits"] += read_split(folder, percent, people)
    tables["training_pairs"] = _read_training_pairs(folder, people, owners)
    return tables


def read_split(folder: PublishedFolder, forget_percent: int, people: set[str]) -> list[Row]:
    """The rows of the splits table for one ratio, from its two folders."""
    forget, retain = f"forget_{forget_percent}", f"retain_{100 - forget_percent}"
    members: dict[str, set[str]] = {forget: set(), retain: set()}
    for name, persons in members.items():
        for where, row in folder.rows(name, {"ID": TEXT}):
            with folder.problems.collect(where):
                _once(where, _known(where, _id(where, row), people), persons)
    if not folder.problems:
        check_members(folder, forget_percent, members, people, "Full_Set")
    return [
        *split_rows(forget_percent, "forget", members[forget]),
        *split_rows(forget_percent, "retain", members[retain]),
    ]


def _read_profiles(
    folder: PublishedFolder, name: str, origin: str, tables: Tables, images: ImageStore
) -> tuple[set[str], dict[str, set[str]]]:
    """Read people with their picture and questions.

    Returns:
        Their ids; and the ids of the people that a picture shows, by the digest of its file.
    """
    group, prefix = ("celebrity", "celebrity-") if origin == "celebrity" else ("fictitious", "")
    people: set[str] = set()
    owners: dict[str, set[str]] = defaultdict(set)
    for where, row in folder.rows(name, _PROFILE):
        with folder.problems.collect(where):
            person = _once(where, _id(where, row, prefix), people)
            with folder.problems.collect(where):
                tables["people"].append(_person(where, row, person, group))
            with folder.problems.collect(where):
                data = readers.picture(where, row["image"])
                images.add(f"{person}/profile", person, data)
                owners[hashlib.sha256(data).hexdigest()].add(person)
            _read_questions(folder, where, row, person, origin, f"{person}/profile", tables)
    _count_questions(folder, name, origin, tables)
    return people, owners


def _read_test_questions(folder: PublishedFolder, people: set[str], tables: Tables, images: ImageStore) -> None:
    """Read the questions and pictures of the test set. A person may have several pictures; questions are about the first."""
    tested: set[str] = set()
    for where, row in folder.rows("Test_Set", {"ID": TEXT, **_TASKS}, {"images": [PICTURE], "image": PICTURE}):
        with folder.problems.collect(where):
            person = _once(where, _known(where, _id(where, row), people), tested)
            for number, value in enumerate(row.get("images") or [row.get("image")]):
                with folder.problems.collect(where):
                    images.add(f"{person}/test-{number}", person, readers.picture(where, value))
            _read_questions(folder, where, row, person, "test", f"{person}/test-0", tables)
    _count_questions(folder, "Test_Set", "test", tables)


def _count_questions(folder: PublishedFolder, name: str, origin: str, tables: Tables) -> None:
    """Log the number of questions. It may differ between people, but a task without any question means broken files."""
    at = folder.directory / name
    counts = Counter((q["task"], q["modality"]) for q in tables["questions"] if q["origin"] == origin)
    log.info("%s: %s", at, ", ".join(f"{n} {task} ({modality})" for (task, modality), n in sorted(counts.items())))
    if folder.problems:
        return
    for task, column in zip(("classification", "generation", "cloze"), _TASKS, strict=True):
        if not any(counted == task for counted, _ in counts):
            folder.problems.add(str(at), f"{at}: no {task} question in any row; expected some in column {column}")


def _id(where: str, row: Mapping[str, Any], prefix: str = "") -> str:
    value = row["ID"]
    if not isinstance(value, str) or not _SAFE_ID.fullmatch(value) or len(value) > 100:
        raise BenchmarkError(f"{where}: ID is {show(value)}, expected letters, digits, '.', '_' and '-'")
    return prefix + value


def _known(where: str, person: str, people: set[str]) -> str:
    if person not in people:
        raise BenchmarkError(f"{where}: ID is {person!r}, expected the ID of a person in Full_Set")
    return person


def _once(where: str, person: str, seen: set[str]) -> str:
    if person in seen:
        raise BenchmarkError(f"{where}: ID {person!r} occurs twice, expected once")
    seen.add(person)
    return person


def _person(where: str, row: Mapping[str, Any], person: str, group: str) -> Row:
    biography = parse_json(where, "biography", row["biography"])
    name = biography.get("Name") if isinstance(biography, dict) else None
    if name is None:
        raise BenchmarkError(f"{where}: biography has no Name, expected one")
    return person_row(person, " ".join(clean(where, "biography: Name", name).split()), group, biography)


def _read_questions(
    folder: PublishedFolder,
    where: str,
    row: Mapping[str, Any],
    person: str,
    origin: str,
    image_id: str,
    tables: Tables,
) -> None:
    """Read the questions of a row; each broken one becomes a problem."""

    def add(modality: str, task: str, number: int, **texts: Any) -> None:
        question_id = f"{origin}/{person}/{modality}/{task}/{number}"
        image = image_id if modality == "image" else None
        tables["questions"].append(question_row(question_id, person, origin, task, image, **texts))

    choices = row["Classification_Task"] or {}
    for key, modality in (("Image_Textual_Questions", "image"), ("Pure_Text_Questions", "text")):
        for number, entry in enumerate(choices.get(key) or []):
            at = f"{where}: Classification_Task.{key}[{number}]"
            with folder.problems.collect(where):
                add(modality, "classification", number, **_choice(folder, where, at, _entry(at, entry)))
    for column, task in (("Generation_Task", "generation"), ("Mask_Task", "cloze")):
        counts = dict.fromkeys(_MODALITY.values(), 0)
        for number, entry in enumerate(row[column] or []):
            at = f"{where}: {column}[{number}]"
            with folder.problems.collect(where):
                modality = _modality(at, _entry(at, entry))
                question, answer = (clean(at, key, entry[key]) for key in ("Question", "Ground_Truth"))
                add(modality, task, counts[modality], question=question, answer=answer)
                counts[modality] += 1


def _entry(at: str, entry: dict[str, Any] | None) -> dict[str, Any]:
    if entry is None:
        raise BenchmarkError(f"{at} is None, expected a question")
    return entry


def _modality(at: str, entry: Mapping[str, Any], default: str | None = None) -> str:
    kind = entry.get("Type", default)
    if not isinstance(kind, str) or kind not in _MODALITY:
        raise BenchmarkError(f"{at}: Type is {show(kind)}, expected one of {list(_MODALITY)}")
    return _MODALITY[kind]


def _choice(folder: PublishedFolder, where: str, at: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Question, options and answer of a multiple-choice question.

    The answer is the letter of an option, as published, or the text of one. A wrong option that repeats another option (up to
    case, white space and Unicode form) is left out, with a note: if two options have the same text, a prediction cannot be
    assigned to one of them.
    """
    question = clean(at, "Question", entry["Question"])
    at = f"{at} ({show(question)})"
    # In a parquet file, an option that only other rows have is null.
    given = {letter: value for letter, value in (entry["Options"] or {}).items() if value is not None}
    if not given:
        raise BenchmarkError(f"{at}: Options is {show(entry['Options'])}, expected the texts of A, B, C and D")
    texts = {letter: clean(at, f"option {letter}", given[letter]) for letter in sorted(given)}
    answer = clean(at, "Correct_Answer", entry["Correct_Answer"])
    same_text = [letter for letter, text in texts.items() if comparable(text) == comparable(answer)]
    right = answer if answer in texts else next(iter(same_text), None)
    if right is None:
        raise BenchmarkError(f"{at}: Correct_Answer is {show(answer)}, expected one of {list(texts)}")
    seen, repeated = {comparable(texts[right])}, []
    for letter, text in texts.items():
        if letter != right and comparable(text) in seen:
            repeated.append(letter)
        seen.add(comparable(text))
    options = [text for letter, text in texts.items() if letter not in repeated]
    if len(options) < 2:
        raise BenchmarkError(f"{at}: {len(options)} different options, expected at least two: {show(texts)}")
    if repeated:
        folder.notes.add(
            where,
            f"{at}: option {', '.join(repeated)} repeats another one and is left out; {len(options)} remain",
        )
    return {"question": question, "options": options, "answer": texts[right]}


def _read_training_pairs(folder: PublishedFolder, people: set[str], owners: Mapping[str, set[str]]) -> list[Row]:
    """Read the training pairs of all people from ``ft_Data``; the folders of the ratios do not publish them."""
    log.info("training pairs: joined from ft_Data by ID (the split folders publish no column metadata)")
    pairs: list[Row] = []
    trained: set[str] = set()
    columns: dict[str, Kind] = {"metadata": TEXT}
    for name, kind in (("ID", TEXT), ("image", PICTURE)):
        if folder.has("ft_Data", name):
            columns[name] = kind
    for where, row in folder.rows("ft_Data", columns):
        with folder.problems.collect(where):
            entries = parse_json(where, "metadata", row["metadata"])
            if not isinstance(entries, list) or not entries:
                raise BenchmarkError(f"{where}: metadata holds no question and answer, expected a list of them")
            person = _once(where, _trained_person(where, row, entries, people, owners), trained)
            for number, entry in enumerate(entries):
                with folder.problems.collect(where):
                    pairs.append(_pair(where, number, entry, person))
    return pairs


def _trained_person(
    where: str, row: Mapping[str, Any], entries: list[Any], people: set[str], owners: Mapping[str, set[str]]
) -> str:
    """The person of a row of ``ft_Data``, from its column ID, the IDs of its entries and its picture, which must agree."""
    sources = {"ID": row.get("ID")}
    for number, entry in enumerate(entries):
        sources[f"metadata[{number}].ID"] = entry.get("ID") if isinstance(entry, dict) else None
    ids = {source: value for source, value in sources.items() if value is not None}
    data = (row.get("image") or {}).get("bytes")
    shown = owners.get(hashlib.sha256(data).hexdigest(), set()) if data else set()
    if not ids:
        if len(shown) != 1:
            raise BenchmarkError(
                f"{where}: ID is None and the picture is of {len(shown)} people of Full_Set; expected an ID, in a column or in metadata"
            )
        return min(shown)
    first, *others = ids
    person = _known(where, _id(where, {"ID": ids[first]}), people)
    contradictions = [f"{source} is {show(ids[source])}" for source in others if ids[source] != person]
    if shown and person not in shown:
        contradictions.append(f"the picture is the one of {min(shown)!r} in Full_Set")
    if contradictions:
        raise BenchmarkError(f"{where}: {first} is {person!r} and {contradictions[0]}; expected a row about one person")
    return person


def _pair(where: str, number: int, entry: Any, person: str) -> Row:
    at = f"{where}: metadata[{number}]"
    if not isinstance(entry, dict):
        raise BenchmarkError(f"{at} is {show(entry)}, expected an object with Question and Answer")
    image_id = f"{person}/profile" if _modality(at, entry, "Image_Textual") == "image" else None
    question, answer = (clean(at, key, entry.get(key)) for key in ("Question", "Answer"))
    return pair_row(f"{person}/{number:02d}", person, image_id, question, answer)
