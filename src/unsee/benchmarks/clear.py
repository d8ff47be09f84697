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
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from string import ascii_uppercase as LETTERS
from typing import Any

import pyarrow as pa

from unsee.benchmarks import coverage, readers, schema
from unsee.benchmarks.cells import clean, show
from unsee.benchmarks.mllmu import check_members
from unsee.benchmarks.published import REPOSITORIES, folders
from unsee.benchmarks.readers import PICTURE, TEXT, PublishedFolder
from unsee.benchmarks.schema import Benchmark, BenchmarkError
from unsee.core.text import comparable

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
        BenchmarkError: something is missing, unreadable or inconsistent; a line with file and row for each finding.
    """
    published = PublishedFolder(directory, REPOSITORIES["clear"], folders("clear", forget_percents))
    problems = published.problems
    tables: Tables = {name: [] for name in schema.SCHEMAS if name != "images"}
    store = readers.ImageStore(scratch)
    pictures = _captions(published, tables, store)
    problems.raise_if_any()  # who the people are decides what is wrong with the other folders
    names = {row["person_id"] for row in tables["people"]}
    forgotten = {percent: read_split(published, percent, names, tables) for percent in forget_percents}
    problems.raise_if_any()  # and who is forgotten, of the perturbed ones
    evaluated: set[str] = set()
    for percent, members in forgotten.items():
        evaluated |= members
        folder, role = f"forget{percent:02d}_perturbed", f"to forget at {percent} %"
        _perturbed(published, folder, names, members, role, pictures, tables, store)
    retained = names.difference(*forgotten.values())
    role = "retained at every ratio"
    evaluated |= _perturbed(published, "retain_perturbed", names, retained, role, pictures, tables, store)
    _tofu(published, names, evaluated, tables)
    _real(published, tables, store)
    problems.raise_if_any()
    made = {name: pa.Table.from_pylist(rows, schema.SCHEMAS[name]) for name, rows in tables.items()}
    benchmark = Benchmark(images=store.table(), **made)
    schema.check(benchmark)
    coverage.check_sets(benchmark.questions, benchmark.training_pairs, benchmark.splits)
    # PublishedFolder so: only people to forget, and some others, are asked about.
    coverage.log_gaps(published.notes, benchmark, usual=("Fictitious Without Profile Questions",))
    return benchmark


def _name(where: str, row: Mapping[str, Any], column: str = "name") -> str:
    """A person's name with single spaces: the key of everything about them."""
    name = " ".join(clean(where, column, row[column]).split())
    if name.startswith(".") or "/" in name or "\\" in name or not name.isprintable() or len(name) > 100:
        raise BenchmarkError(
            f"{where}: {column} is {show(name)}, expected a name without '/', '\\' and control characters, and no '.' in front"
        )
    return name


def _known(where: str, row: Mapping[str, Any], names: set[str]) -> str:
    name = _name(where, row)
    if name not in names:
        raise BenchmarkError(f"{where}: name {name!r} is nobody in full")
    return name


def _named(text: str, names: Iterable[str]) -> set[str]:
    """The people whose whole name is in a text; a name within a longer one does not count."""
    words = _words(text)
    found = {name for name in names if _is_in(_words_of_name(name), words)}
    if len(found) < 2:
        return found
    keys = {name: _words_of_name(name) for name in found}
    return {name for name, key in keys.items() if not any(key != other and key in other for other in keys.values())}


def _is_in(name: str, words: str) -> bool:
    # Scripts that write words without blanks are looked for anywhere.
    return bool(name) and (f" {name} " in f" {words} " if name.isascii() else name in words)


def _words(text: str) -> str:
    """A text as names are looked for in it: words only."""
    return " ".join(re.findall(r"\w+", comparable(text)))


_words_of_name = cache(_words)


def _check_about(where: str, field: str, text: str, name: str, names: set[str]) -> None:
    """Refuse a text that names other people of the data set and not the one that it is said to be about.

    Raises:
        BenchmarkError: it does.
    """
    named = _named(text, names)
    if named and name not in named:
        raise BenchmarkError(
            f"{where}: name is {name!r} and {field} names {min(named)!r}; expected a row about one person"
        )


def _person(name: str, group: str, tables: Tables, person_id: str | None = None) -> None:
    row = {"person_id": person_id or name, "name": name, "group": group, "biography": json.dumps({"Name": name})}
    tables["people"].append(row)


def _describe(key: str) -> str:
    return Random(f"describe:{key}").choice(DESCRIBE)


def _captions(published: PublishedFolder, tables: Tables, store: readers.ImageStore) -> dict[str, dict[str, str]]:
    """People, pictures and caption pairs from ``full``; returns picture ids by the digest of the encoded file and the name."""
    pictures: dict[str, dict[str, str]] = defaultdict(dict)
    counts: Counter[str] = Counter()
    rows: list[tuple[str, str, str]] = []
    for where, row in published.rows("full", {"image": PICTURE, "caption": TEXT, "name": TEXT}):
        with published.problems.collect(where):
            name = _name(where, row)
            caption = clean(where, "caption", row["caption"])
            data = readers.picture(where, row["image"])
            if name not in counts:
                _person(name, "fictitious", tables)
            number = counts[name]
            counts[name] += 1
            image_id = f"{name}/{number}"
            store.add(image_id, name, data)
            pictures[hashlib.sha256(data).hexdigest()].setdefault(name, image_id)
            pair = _pair(f"{name}/caption-{number:03d}", name, image_id, _describe(image_id), caption)
            tables["training_pairs"].append(pair)
            rows.append((where, name, caption))
    names = set(counts)
    if not names and not published.problems:
        at = str(published.directory / "full")
        published.problems.add(at, f"{at}: has no rows; expected people, their pictures and captions")
    for where, name, caption in rows:
        with published.problems.collect(where):
            _check_about(where, "caption", caption, name, names)
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


def read_split(published: PublishedFolder, percent: int, names: set[str], tables: Tables) -> set[str]:
    """The people of a ratio's two folders, by name; returns those to forget. What is wrong with the folders are findings."""
    forget, retain = f"forget{percent:02d}", f"retain{100 - percent:02d}"
    members: dict[str, set[str]] = {forget: set(), retain: set()}
    for role, folder in (("forget", forget), ("retain", retain)):
        for where, row in published.rows(folder, {"name": TEXT, "caption": TEXT}):
            with published.problems.collect(where):
                name = _known(where, row, names)
                members[folder].add(name)
                _check_about(where, "caption", clean(where, "caption", row["caption"]), name, names)
        tables["splits"] += [
            {"forget_percent": percent, "person_id": name, "role": role} for name in sorted(members[folder])
        ]
    if not published.problems:
        check_members(published, percent, members, names, "full")
    return members[forget]


def _perturbed(
    published: PublishedFolder,
    folder: str,
    names: set[str],
    members: set[str],
    role: str,
    pictures: dict[str, dict[str, str]],
    tables: Tables,
    store: readers.ImageStore,
) -> set[str]:
    """Who is shown, and what: a question of each kind a picture, asked once where ratios share it; returns the people.

    Args:
        published, tables, store: where rows come from, and go to.
        folder: the configuration.
        names: all people.
        members: the people whom its rows may be about.
        role: who those are, for the reader of an error.
        pictures: ids of pictures by their digest and the person's name.
    """
    asked = {row["image_id"] for row in tables["questions"]}
    people = set()
    columns: dict[str, readers.Kind] = {
        "image": PICTURE,
        "caption": TEXT,
        "name": TEXT,
        "perturbed_names": [TEXT],
        "perturbed_captions": [TEXT],
        "paraphrased_caption": TEXT,
    }
    for where, row in published.rows(folder, columns):
        with published.problems.collect(where):
            name = _known(where, row, names)
            if name not in members:
                raise BenchmarkError(
                    f"{where}: name is {name!r}, who is not {role}; expected the perturbed rows of these people"
                )
            data = readers.picture(where, row["image"])
            digest = hashlib.sha256(data).hexdigest()
            if digest in pictures and name not in pictures[digest]:
                raise BenchmarkError(
                    f"{where}: name is {name!r} and the picture is the one of {min(pictures[digest])!r} in full; expected a row about "
                    "one person"
                )
            caption, said = (clean(where, column, row[column]) for column in ("caption", "paraphrased_caption"))
            for column, text in (("caption", caption), ("paraphrased_caption", said)):
                _check_about(where, column, text, name, names)
            if digest not in pictures:  # encoded anew, or a picture that full does not have
                pictures[digest] = {name: f"{name}/perturbed-{digest[:12]}"}
                store.add(pictures[digest][name], name, data)
            image_id = pictures[digest][name]
            people.add(name)
            if image_id in asked:
                continue
            key, describe = f"profile/{image_id}", _describe(image_id)
            among = _choice(
                where,
                f"{key}/caption-among",
                name,
                "profile",
                image_id,
                describe,
                said,
                row["perturbed_captions"],
                "perturbed_captions",
            )
            who = _choice(
                where, f"{key}/who", name, "profile", image_id, WHO, name, row["perturbed_names"], "perturbed_names"
            )
            asked.add(image_id)
            tables["questions"] += [
                who,
                _open(f"{key}/caption", name, image_id, describe, caption),
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
    found = _question(question_id, person, origin, "classification", image_id, question, answer)
    return found | {"options": options, "answer_index": options.index(answer)}


def _tofu(published: PublishedFolder, names: set[str], evaluated: set[str], tables: Tables) -> None:
    """Questions without picture: training pairs of everybody, evaluation questions of the people who are asked about.

    The rows carry no name. TOFU has its authors one after the other, twenty rows each; the first asks for the name, and most others
    have it too. A row that names another author, or an author who is there twice, shows that the rows are out of step.
    """
    problems = published.problems
    blocks = list(_blocks(published))
    if problems:
        return
    nameless: list[tuple[str, str]] = []
    starts: dict[str, str] = {}
    for block in blocks:
        where = block[0][0]
        named = [_named(f"{question} {answer}", names) for _, question, answer in block]
        mentions = Counter(n for of_row in named for n in of_row)
        name, count = max(mentions.items(), key=lambda item: item[1], default=("", 0))
        if list(mentions.values()).count(count) != 1:
            problems.add(
                where,
                f"{where}: no author of full stands out in this question and the {len(block) - 1} behind it; expected "
                f"{QUESTIONS_PER_AUTHOR} questions in a row about each",
            )
            continue
        if name in starts:
            problems.add(
                where,
                f"{where}: {len(block)} questions about {name!r} from here on, and from {starts[name]} on; expected them once",
            )
            continue
        starts[name] = where
        if name not in named[0]:
            nameless.append((where, name))
        for number, (of_row, (row_where, question, answer)) in enumerate(zip(named, block, strict=True)):
            if of_row and name not in of_row:
                problems.add(
                    row_where,
                    f"{row_where}: is about {min(of_row)!r}, among {len(block)} questions about {name!r} from {where} on; expected "
                    f"{QUESTIONS_PER_AUTHOR} in a row about each author",
                )
            tables["training_pairs"].append(_pair(f"{name}/tofu-{number:02d}", name, None, question, answer))
            if name in evaluated:
                tables["questions"].append(_open(f"profile/{name}/tofu/{number:02d}", name, None, question, answer))
    if lacking := sorted(names - starts.keys()):
        at = str(published.directory / "full+tofu")
        published.notes.add(at, f"{at}: no questions about {len(lacking)} people of full: {', '.join(lacking[:10])}")
    for where, name in nameless:
        sentence = f"{where}: does not name {name!r}, whom this and the {QUESTIONS_PER_AUTHOR - 1} questions behind it are about"
        if 2 * len(nameless) > len(starts):
            problems.add(
                where, f"{sentence}; expected each author's first question to ask for the name, are the rows shifted?"
            )
        else:
            published.notes.add(where, sentence)


def _blocks(published: PublishedFolder) -> Iterator[list[tuple[str, str, str]]]:
    """TOFU's rows of ``full+tofu``, an author at a time, as (file and row, question, answer); no picture is read."""
    block: list[tuple[str, str, str]] = []
    for where, row in published.rows("full+tofu", {"question": TEXT, "answer": TEXT}):
        if not (row["question"] or "").strip():
            continue  # the caption of a picture, which full has too
        with published.problems.collect(where):
            block.append((where, clean(where, "question", row["question"]), clean(where, "answer", row["answer"])))
        if len(block) == QUESTIONS_PER_AUTHOR:
            yield block
            block = []
    if block and not published.problems:
        where = block[0][0]
        published.problems.add(
            where,
            f"{where}: {len(block)} questions from here to the end, expected {QUESTIONS_PER_AUTHOR} about each author",
        )


def _real(published: PublishedFolder, tables: Tables, store: readers.ImageStore) -> None:
    """Real faces, by name, and questions about the real world, each a subject of its own: what must not be lost."""
    counts: Counter[str] = Counter()
    for where, row in published.rows("real_faces", {"image": PICTURE, "answer": TEXT, "options": [TEXT]}):
        with published.problems.collect(where):
            name = _name(where, row, "answer")
            person = f"celebrity-{name}"
            image_id = f"{person}/{counts[person]}"
            data = readers.picture(where, row["image"])
            question = _choice(
                where, f"real_faces/{image_id}", person, "celebrity", image_id, WHO, name, row["options"], "options"
            )
            if person not in counts:
                _person(name, "celebrity", tables, person)
            counts[person] += 1
            store.add(image_id, person, data)
            tables["questions"].append(question)
    columns: dict[str, readers.Kind] = {"image": PICTURE, "question": TEXT, "answer": TEXT, "options": [TEXT]}
    for number, (where, row) in enumerate(published.rows("real_world", columns)):
        with published.problems.collect(where):
            subject = f"real-world-{number:03d}"
            image_id = f"{subject}/0"
            text = clean(where, "question", row["question"])
            answer = " ".join(clean(where, "answer", row["answer"]).split())
            data = readers.picture(where, row["image"])
            asked = _choice(
                where,
                f"real_world/{number:03d}",
                subject,
                "celebrity",
                image_id,
                text,
                answer,
                row["options"],
                "options",
            )
            _person(subject, "celebrity", tables, subject)
            store.add(image_id, subject, data)
            tables["questions"].append(asked)
