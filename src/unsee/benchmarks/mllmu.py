"""MLLMU-Bench as published: folders of parquet files, one row a person, to the canonical tables."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from unsee.benchmarks import coverage, readers, schema
from unsee.benchmarks.cells import clean, parse_json, show
from unsee.benchmarks.published import REPOSITORIES, folders
from unsee.benchmarks.readers import LETTERED, PICTURE, TEXT, PublishedFolder
from unsee.benchmarks.schema import Benchmark, BenchmarkError
from unsee.core.text import comparable

log = logging.getLogger(__name__)

_MODALITY = {"Image_Textual": "image", "Pure_Text": "text"}
_CHOICES = [{"Question": TEXT, "Options": LETTERED, "Correct_Answer": TEXT}]
_OPEN = [{"Type": TEXT, "Question": TEXT, "Ground_Truth": TEXT}]
_TASKS: dict[str, readers.Kind] = {
    "Classification_Task": {"Image_Textual_Questions": _CHOICES, "Pure_Text_Questions": _CHOICES},
    "Generation_Task": _OPEN,
    "Mask_Task": _OPEN,
}
_PROFILE: dict[str, readers.Kind] = {"ID": TEXT, "image": PICTURE, "biography": TEXT, **_TASKS}
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
        BenchmarkError: something is missing, unreadable or inconsistent; a line with file and row for each finding.
    """
    published = PublishedFolder(directory, REPOSITORIES["mllmu"], folders("mllmu", forget_percents))
    tables: Tables = {name: [] for name in schema.SCHEMAS if name != "images"}
    store = readers.ImageStore(scratch)
    people, owners = _profiles(published, "Full_Set", "profile", tables, store)
    published.problems.raise_if_any()  # who the people are decides what is wrong with the other folders
    _test_questions(published, people, tables, store)
    _profiles(published, "Retain_Set", "celebrity", tables, store)
    for percent in forget_percents:
        read_split(published, percent, people, tables)
    _training(published, people, owners, tables)
    published.problems.raise_if_any()
    made = {name: pa.Table.from_pylist(rows, schema.SCHEMAS[name]) for name, rows in tables.items()}
    benchmark = Benchmark(images=store.table(), **made)
    schema.check(benchmark)
    coverage.check_sets(benchmark.questions, benchmark.training_pairs, benchmark.splits)
    coverage.log_gaps(published.notes, benchmark)
    return benchmark


def _profiles(
    published: PublishedFolder, folder: str, origin: str, tables: Tables, store: readers.ImageStore
) -> tuple[set[str], dict[str, set[str]]]:
    """People with their picture and questions; returns their ids, and whose a picture is by its digest."""
    group, prefix = ("celebrity", "celebrity-") if origin == "celebrity" else ("fictitious", "")
    people: set[str] = set()
    owners: dict[str, set[str]] = defaultdict(set)
    for where, row in published.rows(folder, _PROFILE):
        with published.problems.collect(where):
            person = _once(where, _id(where, row, prefix), people)
            with published.problems.collect(where):
                tables["people"].append(_person(where, row, person, group))
            with published.problems.collect(where):
                data = readers.picture(where, row["image"])
                store.add(f"{person}/profile", person, data)
                owners[hashlib.sha256(data).hexdigest()].add(person)
            _questions(published, where, row, person, origin, f"{person}/profile", tables)
    _count(published, folder, origin, tables)
    return people, owners


def _test_questions(published: PublishedFolder, people: set[str], tables: Tables, store: readers.ImageStore) -> None:
    """The questions of the test set, and its pictures: several a person, the first is asked about."""
    tested: set[str] = set()
    for where, row in published.rows("Test_Set", {"ID": TEXT, **_TASKS}, {"images": [PICTURE], "image": PICTURE}):
        with published.problems.collect(where):
            person = _once(where, _known(where, _id(where, row), people), tested)
            shown = row.get("images") or [row.get("image")]
            for number, value in enumerate(shown):
                with published.problems.collect(where):
                    store.add(f"{person}/test-{number}", person, readers.picture(where, value))
            _questions(published, where, row, person, "test", f"{person}/test-0", tables)
    _count(published, "Test_Set", "test", tables)


def _count(published: PublishedFolder, folder: str, origin: str, tables: Tables) -> None:
    """Say how many questions a folder has; how many a person has differs, but a task without any is a broken folder."""
    at = published.directory / folder
    counts = Counter((q["task"], q["modality"]) for q in tables["questions"] if q["origin"] == origin)
    log.info("%s: %s", at, ", ".join(f"{n} {task} ({modality})" for (task, modality), n in sorted(counts.items())))
    if published.problems:
        return
    for task, column in zip(("classification", "generation", "cloze"), _TASKS, strict=True):
        if not any(counted == task for counted, _ in counts):
            published.problems.add(str(at), f"{at}: no {task} question in any row; expected some in column {column}")


def _id(where: str, row: Mapping[str, Any], prefix: str = "") -> str:
    value = row["ID"]
    if not isinstance(value, str) or not _SAFE_ID.fullmatch(value) or len(value) > 100:
        raise BenchmarkError(f"{where}: ID is {show(value)}, expected letters, digits, '.', '_' and '-'")
    return prefix + value


def _known(where: str, person: str, people: set[str]) -> str:
    if person not in people:
        raise BenchmarkError(f"{where}: ID {person!r} is nobody in Full_Set")
    return person


def _once(where: str, person: str, seen: set[str]) -> str:
    if person in seen:
        raise BenchmarkError(f"{where}: ID {person!r} is there a second time, expected once")
    seen.add(person)
    return person


def _person(where: str, row: Mapping[str, Any], person: str, group: str) -> dict[str, str]:
    biography = parse_json(where, "biography", row["biography"])
    name = biography.get("Name") if isinstance(biography, dict) else None
    if name is None:
        raise BenchmarkError(f"{where}: biography has no Name, expected one")
    name = " ".join(clean(where, "biography: Name", name).split())
    return {"person_id": person, "name": name, "group": group, "biography": json.dumps(biography)}


def _questions(
    published: PublishedFolder, where: str, row: Mapping[str, Any], person: str, origin: str, image: str, tables: Tables
) -> None:
    """The questions of a row; each that is broken is a finding."""

    def add(modality: str, task: str, number: int, texts: dict[str, Any]) -> None:
        question: dict[str, Any] = {
            "question_id": f"{origin}/{person}/{modality}/{task}/{number}",
            "person_id": person,
            "origin": origin,
            "modality": modality,
            "task": task,
            "image_id": image if modality == "image" else None,
            "options": [],
            "answer_index": -1,
        }
        tables["questions"].append(question | texts)

    choices = row["Classification_Task"] or {}
    for key, modality in (("Image_Textual_Questions", "image"), ("Pure_Text_Questions", "text")):
        for number, entry in enumerate(choices.get(key) or []):
            at = f"{where}: Classification_Task.{key}[{number}]"
            with published.problems.collect(where):
                add(modality, "classification", number, _choice(published, where, at, _entry(at, entry)))
    for column, task in (("Generation_Task", "generation"), ("Mask_Task", "cloze")):
        counts = dict.fromkeys(_MODALITY.values(), 0)
        for number, entry in enumerate(row[column] or []):
            at = f"{where}: {column}[{number}]"
            with published.problems.collect(where):
                modality = _modality(at, _entry(at, entry))
                texts = {key: clean(at, key, entry[key]) for key in ("Question", "Ground_Truth")}
                add(modality, task, counts[modality], {"question": texts["Question"], "answer": texts["Ground_Truth"]})
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


def _choice(published: PublishedFolder, where: str, at: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Question, options and answer of a multiple-choice question.

    The answer is the letter of an option, as published, or else the text of one. A wrong option that repeats another option (in other
    case, white space or Unicode form too) is left out, with a note: two options of one text leave it open which was chosen.
    """
    question = clean(at, "Question", entry["Question"])
    at = f"{at} ({show(question)})"
    # An option that the published object lacks comes back as null in every row of a parquet file.
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
        published.notes.add(
            where,
            f"{at}: option {', '.join(repeated)} repeats another one and is left out; {len(options)} remain",
        )
    return {
        "question": question,
        "options": options,
        "answer": texts[right],
        "answer_index": options.index(texts[right]),
    }


def read_split(published: PublishedFolder, percent: int, people: set[str], tables: Tables) -> None:
    """The people of a ratio's two folders, into ``tables``; what is wrong with them are findings."""
    forget, retain = f"forget_{percent}", f"retain_{100 - percent}"
    members: dict[str, set[str]] = {forget: set(), retain: set()}
    for role, folder in (("forget", forget), ("retain", retain)):
        for where, row in published.rows(folder, {"ID": TEXT}):
            with published.problems.collect(where):
                _once(where, _known(where, _id(where, row), people), members[folder])
        rows = [{"forget_percent": percent, "person_id": i, "role": role} for i in sorted(members[folder])]
        tables["splits"] += rows
    if not published.problems:
        check_members(published, percent, members, people, "Full_Set")


def check_members(
    published: PublishedFolder, percent: int, members: Mapping[str, set[str]], people: set[str], everybody: str
) -> None:
    """Check who is in a ratio's two folders: as many as the ratio says, everybody in one of them.

    Args:
        published: takes the findings.
        percent: the ratio.
        members: the people of the folder of those to forget, then of those to retain, by the folder's name.
        people: all people.
        everybody: the folder that has them.
    """
    (forget, forgotten), (retain, retained) = members.items()
    n = round(len(people) * percent / 100)
    at = str(published.directory)
    if len(forgotten) != n:
        folder = str(published.directory / forget)
        published.problems.add(
            folder,
            f"{folder}: {len(forgotten)} people; expected {n}, which are {percent} % of the {len(people)} in {everybody}; is it the "
            "folder of another ratio?",
        )
        return
    for person in sorted(forgotten & retained):
        published.problems.add(at, f"{at}: person {person!r} is in {forget} and in {retain}; expected one of them")
    for person in sorted(people - forgotten - retained):
        published.problems.add(
            at, f"{at}: person {person!r} of {everybody} is in neither {forget} nor {retain}; expected one of them"
        )


def _training(published: PublishedFolder, people: set[str], owners: Mapping[str, set[str]], tables: Tables) -> None:
    """Training pairs of everyone from ft_Data, by ID; the splits' folders do not carry them."""
    log.info("training pairs: joined from ft_Data by ID (the split folders publish no column metadata)")
    trained: set[str] = set()
    columns: dict[str, readers.Kind] = {"metadata": TEXT}
    for name, kind in (("ID", TEXT), ("image", PICTURE)):
        if published.has("ft_Data", name):
            columns[name] = kind
    for where, row in published.rows("ft_Data", columns):
        with published.problems.collect(where):
            entries = parse_json(where, "metadata", row["metadata"])
            if not isinstance(entries, list) or not entries:
                raise BenchmarkError(f"{where}: metadata holds no question and answer, expected a list of them")
            person = _once(where, _trained_person(where, row, entries, people, owners), trained)
            for number, entry in enumerate(entries):
                with published.problems.collect(where):
                    tables["training_pairs"].append(_pair(where, number, entry, person))


def _trained_person(
    where: str, row: Mapping[str, Any], entries: Sequence[Any], people: set[str], owners: Mapping[str, set[str]]
) -> str:
    """Whom a row of ft_Data is about: by its column ID, the IDs of its entries and its picture, which must agree."""
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


def _pair(where: str, number: int, entry: Any, person: str) -> dict[str, Any]:
    at = f"{where}: metadata[{number}]"
    if not isinstance(entry, dict):
        raise BenchmarkError(f"{at} is {show(entry)}, expected an object with Question and Answer")
    modality = _modality(at, entry, "Image_Textual")
    return {
        "pair_id": f"{person}/{number:02d}",
        "person_id": person,
        "modality": modality,
        "image_id": f"{person}/profile" if modality == "image" else None,
        "question": clean(at, "Question", entry.get("Question")),
        "answer": clean(at, "Answer", entry.get("Answer")),
    }
