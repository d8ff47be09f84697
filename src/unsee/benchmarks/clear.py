"""CLEAR as published: rows of a picture, its caption and the name of an author, and TOFU's questions without pictures.

There is no person's ID: the name is the key. What the layout has becomes

- training pairs: every caption as an answer to one of nine requests to describe, and TOFU's twenty questions an author;
- classification: who is shown, among the published wrong names (the perturbed folders, ``real_faces``), and the questions about
  the real world; the place of the right option follows from the row, not from a stream of random numbers;
- generation: the caption of a picture, and TOFU's questions, of the authors who are evaluated;
- likelihood: the caption in other words among captions that are wrong, for its probability and TOFU's truth ratio.

Nothing in it is a cloze, or a test question with another picture; and TOFU's questions come without wrong answers, so that
there are no probabilities or truth ratios of them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from unsee.benchmarks import files, schema
from unsee.benchmarks.published import REPOSITORIES, folders
from unsee.benchmarks.schema import Benchmark, BenchmarkError

log = logging.getLogger(__name__)

#: What is asked for a caption (of CLEAR's own training); which one, follows from the row.
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
#: TOFU asks this many questions in a row about each author.
QUESTIONS_PER_AUTHOR = 20

Tables = dict[str, list[dict[str, Any]]]


def load(directory: Path, forget_percents: Sequence[int], scratch: Path | None = None) -> Benchmark:
    """Read the published folders, each as parquet shards or as ``save_to_disk`` leaves it.

    Args:
        directory: holds ``full``, ``full+tofu``, ``retain_perturbed``, ``real_faces``, ``real_world`` and, for each ratio p,
            ``forget{p}``, ``retain{100-p}`` and ``forget{p}_perturbed``, p with two digits.
        forget_percents: the ratios to read splits of.
        scratch: a folder with room for all pictures; the system's own by default.

    Raises:
        BenchmarkError: something is missing, unreadable or inconsistent; the message names file and row.
    """
    published = files.Published(directory, REPOSITORIES["clear"], folders("clear", forget_percents))
    tables: Tables = {name: [] for name in schema.SCHEMAS if name != "images"}
    store = files.ImageStore(scratch)
    pictures = _captions(published, tables, store)
    names = {row["person_id"] for row in tables["people"]}
    evaluated: set[str] = set()
    for percent in forget_percents:
        evaluated |= read_split(published, percent, names, tables)
    perturbed = [f"forget{percent:02d}_perturbed" for percent in forget_percents]
    evaluated |= _perturbed(published, [*perturbed, "retain_perturbed"], names, pictures, tables, store)
    _tofu(published, names, evaluated, tables)
    _real(published, tables, store)
    made = {name: pa.Table.from_pylist(rows, schema.SCHEMAS[name]) for name, rows in tables.items()}
    benchmark = Benchmark(images=store.table(), **made)
    schema.check(benchmark)
    return benchmark


def _text(where: str, row: dict[str, Any], column: str) -> str:
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise BenchmarkError(f"{where}: {column} is {value!r}, expected text")
    return value.strip()


def _name(where: str, row: dict[str, Any], column: str = "name") -> str:
    """A person's name with single spaces: the key of everything about them."""
    name = " ".join(_text(where, row, column).split())
    if name.startswith(".") or "/" in name or "\\" in name or not name.isprintable():
        raise BenchmarkError(
            f"{where}: {column} is {name!r}, expected a name without '/', '\\' and control characters, and no '.' in front"
        )
    return name


def _known(where: str, row: dict[str, Any], names: set[str]) -> str:
    name = _name(where, row)
    if name not in names:
        raise BenchmarkError(f"{where}: name {name!r} is nobody in full")
    return name


def _person(name: str, group: str, tables: Tables, person_id: str | None = None) -> None:
    row = {"person_id": person_id or name, "name": name, "group": group, "biography": json.dumps({"Name": name})}
    tables["people"].append(row)


def _describe(key: str) -> str:
    return Random(f"describe:{key}").choice(DESCRIBE)


def _captions(published: files.Published, tables: Tables, store: files.ImageStore) -> dict[str, str]:
    """People, pictures and caption pairs from ``full``; picture ids by the digest of the encoded file."""
    pictures: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for where, row in published.rows("full", ["image", "caption", "name"]):
        name = _name(where, row)
        caption = _text(where, row, "caption")
        if name not in counts:
            _person(name, "fictitious", tables)
        number = counts[name]
        counts[name] += 1
        image_id = f"{name}/{number}"
        data = files.picture(where, row["image"])
        store.add(image_id, name, data)
        pictures.setdefault(hashlib.sha256(data).hexdigest(), image_id)
        tables["training_pairs"].append(
            _pair(f"{name}/caption-{number:03d}", name, image_id, _describe(image_id), caption)
        )
    log.info("full: %d captions of %d people", sum(counts.values()), len(counts))
    return pictures


def _pair(pair_id: str, name: str, image_id: str | None, question: str, answer: str) -> dict[str, Any]:
    return {
        "pair_id": pair_id,
        "person_id": name,
        "modality": "text" if image_id is None else "image",
        "image_id": image_id,
        "question": question,
        "answer": answer,
    }


def read_split(published: files.Published, percent: int, names: set[str], tables: Tables) -> set[str]:
    """The people of a ratio's two folders, by name; returns those to forget."""
    forget, retain = f"forget{percent:02d}", f"retain{100 - percent:02d}"
    members = {
        folder: {_known(where, row, names) for where, row in published.rows(folder, ["name"])}
        for folder in (forget, retain)
    }
    for what, found in (
        (f"in {forget} and in {retain}; expected one of them", members[forget] & members[retain]),
        (f"in neither {forget} nor {retain}; expected one of them", names - members[forget] - members[retain]),
    ):
        if found:
            raise BenchmarkError(f"{published.directory}: person {min(found)!r} is {what}")
    for role, folder in (("forget", forget), ("retain", retain)):
        rows = [{"forget_percent": percent, "person_id": name, "role": role} for name in sorted(members[folder])]
        tables["splits"] += rows
    return members[forget]


def _perturbed(
    published: files.Published,
    configurations: Iterable[str],
    names: set[str],
    pictures: dict[str, str],
    tables: Tables,
    store: files.ImageStore,
) -> set[str]:
    """Who is shown, and what: a question of each kind a picture, asked once where ratios share it; returns the people."""
    asked: set[str] = set()
    people = set()
    for folder in configurations:
        for where, row in published.rows(
            folder, ["image", "caption", "name", "perturbed_names", "perturbed_captions", "paraphrased_caption"]
        ):
            name = _known(where, row, names)
            data = files.picture(where, row["image"])
            digest = hashlib.sha256(data).hexdigest()
            if digest not in pictures:  # encoded anew, or a picture that full does not have
                pictures[digest] = f"{name}/perturbed-{digest[:12]}"
                store.add(pictures[digest], name, data)
            image_id = pictures[digest]
            people.add(name)
            if image_id in asked:
                continue
            asked.add(image_id)
            key, describe = f"profile/{image_id}", _describe(image_id)
            said, wrong = _text(where, row, "paraphrased_caption"), row["perturbed_captions"]
            among = _choice(
                where, f"{key}/caption-among", name, "profile", image_id, describe, said, wrong, "perturbed_captions"
            )
            tables["questions"] += [
                _choice(
                    where, f"{key}/who", name, "profile", image_id, WHO, name, row["perturbed_names"], "perturbed_names"
                ),
                _open(f"{key}/caption", name, image_id, describe, _text(where, row, "caption")),
                among | {"task": "likelihood"},
            ]
    return people


def _question(
    question_id: str, person: str, origin: str, task: str, image_id: str | None, question: str, answer: str
) -> dict[str, Any]:
    return {
        "question_id": question_id,
        "person_id": person,
        "origin": origin,
        "modality": "text" if image_id is None else "image",
        "task": task,
        "image_id": image_id,
        "question": question,
        "options": [],
        "answer": answer,
        "answer_index": -1,
    }


def _open(question_id: str, person: str, image_id: str | None, question: str, answer: str) -> dict[str, Any]:
    return _question(question_id, person, "profile", "generation", image_id, question, answer)


def _choice(
    where: str,
    question_id: str,
    person: str,
    origin: str,
    image_id: str,
    question: str,
    answer: str,
    wrong: Any,
    column: str,
) -> dict[str, Any]:
    """A multiple-choice question whose right option stands where the hash of its id says."""
    options: list[str] = []
    for option in wrong or []:
        text = " ".join(option.split()) if isinstance(option, str) else ""
        if text and text.casefold() not in {answer.casefold(), *(o.casefold() for o in options)}:
            options.append(text)
    if not options:
        raise BenchmarkError(f"{where}: {column} is {wrong!r}, expected at least one wrong option beside {answer!r}")
    options.insert(Random(f"option:{question_id}").randint(0, len(options)), answer)
    found = _question(question_id, person, origin, "classification", image_id, question, answer)
    return found | {"options": options, "answer_index": options.index(answer)}


def _tofu(published: files.Published, names: set[str], evaluated: set[str], tables: Tables) -> None:
    """Questions without picture: training pairs of everybody, evaluation questions of the people who are asked about.

    The rows carry no name. TOFU has its authors one after the other, and their answers say whom they are about.
    """
    for block in _blocks(published):
        where = block[0][0]
        text = " ".join(f"{row['question']} {row['answer']}" for _, row in block).casefold()
        mentions = Counter({name: text.count(name.casefold()) for name in names})
        (name, count), *rest = mentions.most_common(2)
        if not count or (rest and rest[0][1] == count):
            raise BenchmarkError(
                f"{where}: no author of full stands out in this question and the {len(block) - 1} behind it; expected "
                f"{QUESTIONS_PER_AUTHOR} questions in a row about each"
            )
        for number, (_, row) in enumerate(block):
            question, answer = row["question"].strip(), row["answer"].strip()
            tables["training_pairs"].append(_pair(f"{name}/tofu-{number:02d}", name, None, question, answer))
            if name in evaluated:
                tables["questions"].append(_open(f"profile/{name}/tofu/{number:02d}", name, None, question, answer))


def _blocks(published: files.Published) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """TOFU's rows of ``full+tofu``, an author at a time; no picture is read."""
    block: list[tuple[str, dict[str, Any]]] = []
    for where, row in published.rows("full+tofu", ["question", "answer"]):
        if not (row["question"] or "").strip():
            continue  # the caption of a picture, which full has too
        _text(where, row, "answer")
        block.append((where, row))
        if len(block) == QUESTIONS_PER_AUTHOR:
            yield block
            block = []
    if block:
        raise BenchmarkError(
            f"{block[0][0]}: {len(block)} questions from here to the end, expected {QUESTIONS_PER_AUTHOR} about each author"
        )


def _real(published: files.Published, tables: Tables, store: files.ImageStore) -> None:
    """Real faces, by name, and questions about the real world, each a subject of its own: what must not be lost."""
    counts: Counter[str] = Counter()
    for where, row in published.rows("real_faces", ["image", "answer", "options"]):
        name = _name(where, row, "answer")
        person = f"celebrity-{name}"
        if person not in counts:
            _person(name, "celebrity", tables, person)
        image_id = f"{person}/{counts[person]}"
        counts[person] += 1
        store.add(image_id, person, files.picture(where, row["image"]))
        tables["questions"].append(
            _choice(
                where, f"real_faces/{image_id}", person, "celebrity", image_id, WHO, name, row["options"], "options"
            )
        )
    for number, (where, row) in enumerate(published.rows("real_world", ["image", "question", "answer", "options"])):
        subject = f"real-world-{number:03d}"
        _person(subject, "celebrity", tables, subject)
        store.add(f"{subject}/0", subject, files.picture(where, row["image"]))
        question, answer = _text(where, row, "question"), " ".join(_text(where, row, "answer").split())
        tables["questions"].append(
            _choice(
                where,
                f"real_world/{number:03d}",
                subject,
                "celebrity",
                f"{subject}/0",
                question,
                answer,
                row["options"],
                "options",
            )
        )
