"""CLEAR as published: rows of a picture, its caption and an author's name, and TOFU's questions without pictures.

People have no ids: the name is the key. The published rows become

- training pairs: every caption as the answer to one of nine requests to describe, and TOFU's twenty questions about each author;
- classification: which person a picture shows, among the published wrong names (the perturbed folders, ``real_faces``), and
  questions about the real world; the place of the right option depends on the row only;
- generation: the caption of a picture, and TOFU's questions about the people who are evaluated;
- likelihood: a paraphrased caption among wrong captions, for its probability and TOFU's truth ratio.

CLEAR has no cloze questions and no test questions with another picture. TOFU's questions are published without wrong answers, so
they have no probabilities or truth ratios.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from string import ascii_uppercase as LETTERS
from typing import Any

from unsee.benchmarks import readers
from unsee.benchmarks.cells import clean, show
from unsee.benchmarks.clear_tofu import read_tofu
from unsee.benchmarks.columns import PICTURE, TEXT, Kind
from unsee.benchmarks.names import check_about
from unsee.benchmarks.readers import ImageStore, PublishedFolder, check_members
from unsee.benchmarks.rows import Row, Tables, pair_row, person_row, question_row, split_rows
from unsee.benchmarks.schema import BenchmarkError
from unsee.core.text import comparable

log = logging.getLogger(__name__)

#: Requests for a caption, from CLEAR's own training code; the row decides which one is used.
DESCRIBE = (
    "What can you see in this picture?",
    "Tell me about the content of this image",
    "Can you give a description of the image?",
    "What is depicted in the image?",
    "Explain what you observe in the picture.",
    "Describe the image in detail.",
    "What is the main subject of this image?",
    "Can you describe the scene or objects in the image?",
    "What is happening in this image?",
)
WHO = "What is the name of the person in the image?"

_PERTURBED: dict[str, Kind] = {
    "image": PICTURE,
    "caption": TEXT,
    "name": TEXT,
    "perturbed_names": [TEXT],
    "perturbed_captions": [TEXT],
    "paraphrased_caption": TEXT,
}


@dataclass
class _Pictures:
    """The pictures of the fictitious people.

    Attributes:
        store: receives their files.
        ids: image ids by the digest of the encoded file and the person's name.
        asked: the image ids that have questions.
    """

    store: ImageStore
    ids: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    asked: set[str] = field(default_factory=set)


def read_tables(folder: PublishedFolder, forget_percents: Sequence[int], images: ImageStore) -> Tables:
    """Read ``full``, ``full+tofu``, ``retain_perturbed``, ``real_faces``, ``real_world`` and the folders of each ratio.

    Raises:
        BenchmarkError: ``full`` or a ratio's folders have problems, so that the other folders cannot be checked against them.
    """
    tables: Tables = defaultdict(list)
    pictures = _Pictures(images)
    _read_captions(folder, tables, pictures)
    folder.problems.raise_if_any()
    names = {row["person_id"] for row in tables["people"]}
    for percent in forget_percents:
        tables["splits"] += read_split(folder, percent, names)
    folder.problems.raise_if_any()
    evaluated: set[str] = set()
    for percent in forget_percents:
        rows = [row for row in tables["splits"] if row["forget_percent"] == percent and row["role"] == "forget"]
        forgotten = {row["person_id"] for row in rows}
        evaluated |= forgotten
        name, role = f"forget{percent:02d}_perturbed", f"to forget at {percent} %"
        _read_perturbed(folder, name, names, forgotten, role, tables, pictures)
    retained = names - evaluated
    evaluated |= _read_perturbed(
        folder, "retain_perturbed", names, retained, "retained at every ratio", tables, pictures
    )
    read_tofu(folder, names, evaluated, tables)
    _read_real_faces(folder, tables, images)
    _read_real_world(folder, tables, images)
    return tables


def read_split(folder: PublishedFolder, forget_percent: int, people: set[str]) -> list[Row]:
    """The rows of the splits table for one ratio, from its two folders; people's ids are their names."""
    forget, retain = f"forget{forget_percent:02d}", f"retain{100 - forget_percent:02d}"
    members: dict[str, set[str]] = {forget: set(), retain: set()}
    for configuration, persons in members.items():
        for where, row in folder.rows(configuration, {"name": TEXT, "caption": TEXT}):
            with folder.problems.collect(where):
                name = _known(where, row, people)
                persons.add(name)
                check_about(where, "caption", clean(where, "caption", row["caption"]), name, people)
    if not folder.problems:
        check_members(folder, forget_percent, members, people, "full")
    return [
        *split_rows(forget_percent, "forget", members[forget]),
        *split_rows(forget_percent, "retain", members[retain]),
    ]


def _name(where: str, row: Mapping[str, Any], column: str = "name") -> str:
    """A person's name with single spaces, which is their id too."""
    name = " ".join(clean(where, column, row[column]).split())
    if name.startswith(".") or "/" in name or "\\" in name or not name.isprintable() or len(name) > 100:
        raise BenchmarkError(
            f"{where}: {column} is {show(name)}, expected a name without '/', '\\' and control characters, and no '.' in front"
        )
    return name


def _known(where: str, row: Mapping[str, Any], names: set[str]) -> str:
    name = _name(where, row)
    if name not in names:
        raise BenchmarkError(f"{where}: name is {name!r}, expected the name of a person in full")
    return name


def _request(image_id: str) -> str:
    return Random(f"describe:{image_id}").choice(DESCRIBE)


def _read_captions(folder: PublishedFolder, tables: Tables, pictures: _Pictures) -> None:
    """Read people, pictures and caption pairs from ``full``."""
    counts: Counter[str] = Counter()
    captions: list[tuple[str, str, str]] = []
    for where, row in folder.rows("full", {"image": PICTURE, "caption": TEXT, "name": TEXT}):
        with folder.problems.collect(where):
            name = _name(where, row)
            caption = clean(where, "caption", row["caption"])
            data = readers.picture(where, row["image"])
            if name not in counts:
                tables["people"].append(person_row(name, name, "fictitious", {"Name": name}))
            number = counts[name]
            counts[name] += 1
            image_id = f"{name}/{number}"
            pictures.store.add(image_id, name, data)
            pictures.ids[hashlib.sha256(data).hexdigest()].setdefault(name, image_id)
            pair = pair_row(f"{name}/caption-{number:03d}", name, image_id, _request(image_id), caption)
            tables["training_pairs"].append(pair)
            captions.append((where, name, caption))
    if not counts and not folder.problems:
        at = str(folder.directory / "full")
        folder.problems.add(at, f"{at}: has no rows; expected people, their pictures and captions")
    for where, name, caption in captions:
        with folder.problems.collect(where):
            check_about(where, "caption", caption, name, set(counts))
    log.info("full: %d captions of %d people", sum(counts.values()), len(counts))


def _read_perturbed(
    folder: PublishedFolder,
    configuration: str,
    names: set[str],
    members: set[str],
    role: str,
    tables: Tables,
    pictures: _Pictures,
) -> set[str]:
    """Read three questions about each picture of a perturbed folder; a picture in several ratios' folders has them once.

    Args:
        folder: the data set.
        configuration: the perturbed folder.
        names: all people.
        members: the people that its rows may be about.
        role: the role of these people, for the error message.
        tables: receives the questions.
        pictures: the known pictures; receives others.

    Returns:
        The people of its rows.
    """
    people = set()
    for where, row in folder.rows(configuration, _PERTURBED):
        with folder.problems.collect(where):
            name = _known(where, row, names)
            if name not in members:
                raise BenchmarkError(
                    f"{where}: name is {name!r}, who is not {role}; expected the perturbed rows of these people"
                )
            image_id = _perturbed_picture(where, row, name, pictures)
            caption, paraphrase = (clean(where, column, row[column]) for column in ("caption", "paraphrased_caption"))
            check_about(where, "caption", caption, name, names)
            check_about(where, "paraphrased_caption", paraphrase, name, names)
            people.add(name)
            if image_id not in pictures.asked:
                tables["questions"] += _picture_questions(where, row, name, image_id, caption, paraphrase)
                pictures.asked.add(image_id)
    return people


def _perturbed_picture(where: str, row: Mapping[str, Any], name: str, pictures: _Pictures) -> str:
    """The image id of a row's picture; a picture that ``full`` does not have is added.

    Raises:
        BenchmarkError: in ``full`` it is a picture of another person.
    """
    data = readers.picture(where, row["image"])
    digest = hashlib.sha256(data).hexdigest()
    if digest not in pictures.ids:
        pictures.ids[digest][name] = f"{name}/perturbed-{digest[:12]}"
        pictures.store.add(pictures.ids[digest][name], name, data)
    if name not in pictures.ids[digest]:
        raise BenchmarkError(
            f"{where}: name is {name!r} and the picture is the one of {min(pictures.ids[digest])!r} in full; expected a row about "
            "one person"
        )
    return pictures.ids[digest][name]


def _picture_questions(
    where: str, row: Mapping[str, Any], name: str, image_id: str, caption: str, paraphrase: str
) -> list[Row]:
    """Who is shown; the caption, freely generated; and the likelihood of its paraphrase among wrong captions."""
    key, request = f"profile/{image_id}", _request(image_id)
    captions = _options(where, f"{key}/caption-among", paraphrase, row, "perturbed_captions")
    names = _options(where, f"{key}/who", name, row, "perturbed_names")
    return [
        question_row(
            f"{key}/who", name, "profile", "classification", image_id, question=WHO, answer=name, options=names
        ),
        question_row(f"{key}/caption", name, "profile", "generation", image_id, question=request, answer=caption),
        question_row(
            f"{key}/caption-among",
            name,
            "profile",
            "likelihood",
            image_id,
            question=request,
            answer=paraphrase,
            options=captions,
        ),
    ]


def _options(where: str, question_id: str, answer: str, row: Mapping[str, Any], column: str) -> list[str]:
    """The different wrong options of a column and the answer, at a place that the question's id decides.

    Raises:
        BenchmarkError: there is no wrong option, or there are more options than letters.
    """
    wrong, options = row[column], []
    seen = {comparable(answer)}
    for number, option in enumerate(wrong or []):
        if option is None or not comparable(option):
            continue
        text = " ".join(clean(where, f"{column}[{number}]", option).split())
        if comparable(text) not in seen:
            options.append(text)
        seen.add(comparable(text))
    if not options:
        raise BenchmarkError(
            f"{where}: {column} is {show(wrong)}, expected at least one wrong option beside {answer!r}"
        )
    if len(options) >= len(LETTERS):
        raise BenchmarkError(f"{where}: {column} has {len(options)} wrong options, expected at most {len(LETTERS) - 1}")
    options.insert(Random(f"option:{question_id}").randint(0, len(options)), answer)
    return options


def _read_real_faces(folder: PublishedFolder, tables: Tables, images: ImageStore) -> None:
    """Read the pictures of real people; the question is who is shown."""
    counts: Counter[str] = Counter()
    for where, row in folder.rows("real_faces", {"image": PICTURE, "answer": TEXT, "options": [TEXT]}):
        with folder.problems.collect(where):
            name = _name(where, row, "answer")
            person = f"celebrity-{name}"
            image_id = f"{person}/{counts[person]}"
            data = readers.picture(where, row["image"])
            key = f"real_faces/{image_id}"
            options = _options(where, key, name, row, "options")
            if person not in counts:
                tables["people"].append(person_row(person, name, "celebrity", {"Name": name}))
            counts[person] += 1
            images.add(image_id, person, data)
            tables["questions"].append(
                question_row(
                    key, person, "celebrity", "classification", image_id, question=WHO, answer=name, options=options
                )
            )


def _read_real_world(folder: PublishedFolder, tables: Tables, images: ImageStore) -> None:
    """Read the questions about the real world; each one is about a subject of its own."""
    columns: dict[str, Kind] = {"image": PICTURE, "question": TEXT, "answer": TEXT, "options": [TEXT]}
    for number, (where, row) in enumerate(folder.rows("real_world", columns)):
        with folder.problems.collect(where):
            subject = f"real-world-{number:03d}"
            image_id = f"{subject}/0"
            question = clean(where, "question", row["question"])
            answer = " ".join(clean(where, "answer", row["answer"]).split())
            data = readers.picture(where, row["image"])
            key = f"real_world/{number:03d}"
            options = _options(where, key, answer, row, "options")
            tables["people"].append(person_row(subject, subject, "celebrity", {"Name": subject}))
            images.add(image_id, subject, data)
            tables["questions"].append(
                question_row(
                    key,
                    subject,
                    "celebrity",
                    "classification",
                    image_id,
                    question=question,
                    answer=answer,
                    options=options,
                )
            )
