"""A folder of a user's people: a table with a row for each (``people.csv``), their pictures, and templates of the questions.

- Training pairs: each column's value, and the sentences, with every picture but a person's last and without a picture; and the name.
- Profile questions: about the first picture, and without. Test questions: the same facts in other words, about the last picture. A
  person with one picture is shown as its mirror image there.
- Options are the values of other people of the same table, three of them if there are so many.
- Celebrities (``celebrities.csv``) are asked about and not learned. A folder without them has an empty celebrity set.

Wordings, options and their order depend on a person's id, the column and the table alone. ``benchmark.seed`` decides who is forgotten at
a ratio, as in the synthetic benchmark.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from PIL import ImageOps

from unsee.benchmarks import readers
from unsee.benchmarks.columns import MAX_ROW_BYTES
from unsee.benchmarks.folder_people import Person, attributes, read_people
from unsee.benchmarks.folder_templates import NAMING, WITH_PICTURE, Entry, fill, read_templates
from unsee.benchmarks.problems import Problems
from unsee.benchmarks.readers import ImageStore, PublishedFolder
from unsee.benchmarks.rows import Row, Tables, pair_row, person_row, question_row
from unsee.benchmarks.schema import MODALITIES, BenchmarkError
from unsee.core.images import decode
from unsee.core.text import comparable

log = logging.getLogger(__name__)

#: Wrong options of a question.
MOST_WRONG = 3


def read_tables(folder: PublishedFolder, forget_percents: Sequence[int], images: ImageStore) -> Tables:
    """Read the people, make their questions and training pairs; there are no splits, because they are drawn.

    Raises:
        BenchmarkError: the tables or the templates have problems, so that no questions can be made.
    """
    problems, directory = folder.problems, folder.directory
    people, famous = (read_people(directory, stem, problems) for stem in ("people", "celebrities"))
    problems.raise_if_any()
    owners: dict[str, Person] = {}
    tables: Tables = defaultdict(list)
    for group, members, others in (("fictitious", people, famous), ("celebrity", famous, people)):
        if not members:
            continue
        naming, entries = read_templates(directory, attributes(members), attributes(others))
        for person in members:
            with problems.collect(person.where):
                pictures = _add_pictures(folder, person, group, images, owners)
                key = _id(person, group)
                tables["people"].append(person_row(key, person.name, group, {"Name": person.name, **person.values}))
                if group == "celebrity":
                    tables["questions"] += _questions(person, key, "celebrity", pictures[0], naming, entries, members)
                    continue
                tables["questions"] += _questions(person, key, "profile", pictures[0], naming, entries, members)
                tables["questions"] += _questions(person, key, "test", pictures[-1], naming, entries, members)
                tables["training_pairs"] += _training_pairs(person, pictures[:-1], naming, entries)
    if single := [person.person_id for person in people if len(person.pictures) == 1]:
        log.warning("one picture: %d people, such as %s; the test set shows its mirror image", len(single), single[0])
    return tables


def read_files(folder: Path) -> list[Path]:
    """The files that a folder's people are read from, without those that are missing."""
    people = [person for stem in ("people", "celebrities") for person in _listed(folder, stem)]
    names = ("people.csv", "people.parquet", "celebrities.csv", "celebrities.parquet", "templates.yaml")
    listed = [folder / name for name in names] + [picture for person in people for picture in person.pictures]
    return [file for file in dict.fromkeys(listed) if file.is_file()]


def _listed(folder: Path, stem: str) -> list[Person]:
    """The rows of a table that have no problems; the checks report the others."""
    try:
        return read_people(folder, stem, Problems())
    except BenchmarkError:
        return []


def _id(person: Person, group: str) -> str:
    return person.person_id if group == "fictitious" else f"celebrity-{person.person_id}"


def _add_pictures(
    folder: PublishedFolder, person: Person, group: str, images: ImageStore, owners: dict[str, Person]
) -> list[str]:
    """Store the pictures of a person; the last id is the test set's, the others are learned.

    Raises:
        BenchmarkError: a file is no picture, or is another person's too.
    """
    key, files = _id(person, group), []
    for picture in person.pictures:
        where = f"{person.where}, column pictures: {picture.relative_to(folder.directory).as_posix()!r}"
        if picture.stat().st_size > MAX_ROW_BYTES:
            raise BenchmarkError(f"{where} has {picture.stat().st_size} bytes, expected at most {MAX_ROW_BYTES}")
        data = readers.picture(where, {"bytes": picture.read_bytes()})
        owner = owners.setdefault(hashlib.sha256(data).hexdigest(), person)
        if owner is not person:
            raise BenchmarkError(
                f"{where} is the picture of {owner.name!r} too; expected another one of {person.name!r}"
            )
        files.append((where, data))
    if len(files) == 1 and group == "fictitious":
        files.append(("", _mirrored(*files[0])))
    last = len(files) - 1 if group == "fictitious" else len(files)
    ids = [f"{key}/{number}" if number < last else f"{key}/test-0" for number in range(len(files))]
    for image_id, (_, data) in zip(ids, files, strict=True):
        images.add(image_id, key, data)
    return ids


def _mirrored(where: str, data: bytes) -> bytes:
    """The mirror image of an encoded picture."""
    file = io.BytesIO()
    ImageOps.mirror(decode(data, where)).save(file, "JPEG", quality=95)
    return file.getvalue()


def _questions(
    person: Person,
    key: str,
    origin: str,
    image_id: str,
    naming: Entry,
    entries: Sequence[Entry],
    people: Sequence[Person],
) -> Iterator[Row]:
    """The questions of one origin: each column with options, as a cloze and in a sentence, as far as its entry has them."""
    wording = "test" if origin == "test" else "profile"
    for modality in MODALITIES:
        who, image = (WITH_PICTURE, image_id) if modality == "image" else (person.name, None)

        def row(task: str, column: str, template: str, answer: str, options: Sequence[str] = ()) -> Row:
            text = fill(template, who, column, person.name, person.values)  # noqa: B023 - called in this turn of the loop
            question_id = f"{origin}/{key}/{modality}/{task}/{column}"  # noqa: B023
            return question_row(question_id, key, origin, task, image, question=text, answer=answer, options=options)  # noqa: B023

        for entry in [naming, *entries] if modality == "image" else entries:
            answer = _value(person, entry.column)
            options = _options(f"{origin}:{key}:{modality}:{entry.column}", person, entry.column, people)
            yield row("classification", entry.column, entry.questions[wording], answer, options)
            if entry.cloze:
                yield row("cloze", entry.column, entry.cloze[wording], answer)
            if entry.sentence:
                sentence = fill(entry.answer, person.name, entry.column, person.name, person.values)
                yield row("generation", entry.column, entry.sentence[wording], sentence)


def _value(person: Person, column: str) -> str:
    return person.name if column == NAMING else person.values[column]


def _options(seed: str, person: Person, column: str, people: Sequence[Person]) -> list[str]:
    """The person's value and those of other people, in an order that the seed decides."""
    answer = _value(person, column)
    values = {comparable(_value(other, column)): _value(other, column) for other in people}
    wrong = sorted(value for text, value in values.items() if text != comparable(answer))
    random = Random(f"options:{seed}")
    options = random.sample(wrong, min(MOST_WRONG, len(wrong)))
    options.insert(random.randint(0, len(options)), answer)
    return options


def _training_pairs(person: Person, pictures: Sequence[str], naming: Entry, entries: Sequence[Entry]) -> Iterator[Row]:
    """Every column's value and every sentence, with each picture and without; the name with each picture."""
    number = 0
    for image_id in [*pictures, None]:
        who = person.name if image_id is None else WITH_PICTURE
        for entry in entries if image_id is None else [naming, *entries]:
            random = Random(f"wording:{person.person_id}:{image_id}:{entry.column}")
            pairs = [(random.choice(entry.train), _value(person, entry.column))]
            if entry.sentence:
                answer = fill(entry.answer, person.name, entry.column, person.name, person.values)
                pairs.append((random.choice(entry.sentence_train), answer))
            for template, answer in pairs:
                question = fill(template, who, entry.column, person.name, person.values)
                yield pair_row(f"{person.person_id}/{number:03d}", person.person_id, image_id, question, answer)
                number += 1
