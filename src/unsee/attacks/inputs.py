"""The questions and the pictures that an attacked model is shown; they are the same for every model of a ratio and seed."""

from __future__ import annotations

import copy
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from unsee.attacks.attack import Attack, People
from unsee.benchmarks.tables import person_ids, read_images, read_table
from unsee.core.images import decode
from unsee.evaluation.protocol import Question
from unsee.evaluation.questions import read_questions
from unsee.evaluation.settings import task_of


class Changed(NamedTuple):
    """A question as an attack has changed it, and as the benchmark has it."""

    question: Question
    original: Question


def attacked_questions(
    attack: Attack,
    options: Mapping[str, Any],
    benchmark: Path,
    *,
    forget_percent: int,
    tasks: Sequence[str],
    seed: int,
) -> list[list[Changed]]:
    """The questions about the forgotten people that an attack concerns, in the order of their ids, by version.

    Only an attack on questions changes them, and may make several versions of one. An attack on pictures concerns the
    questions that have one.

    Args:
        attack: the attack.
        options: its options.
        benchmark: folder of canonical tables.
        forget_percent: the ratio of the forgotten people.
        tasks: the tasks that are evaluated.
        seed: decides the random numbers of each question.

    Raises:
        ValueError: the attack concerns no question, or it has changed the text of an option.
    """
    forgotten = set(person_ids(benchmark, forget_percent, "forget"))
    people = {"people": _people(benchmark, forgotten)} if "people" in attack.inputs else {}
    versions: dict[int, list[Changed]] = defaultdict(list)
    for original in read_questions(benchmark, [forget_percent]):
        if original["person_id"] not in forgotten or task_of(original["task"]) not in tasks:
            continue
        if attack.kind == "picture" and original["image_id"] is None:
            continue
        questions = [original]
        if attack.kind == "question":
            inputs = people | _random(attack, seed, original["question_id"])
            # A deep copy, because an attack may well reorder the options in place.
            questions = attack.apply(copy.deepcopy(original), **inputs, **options)
        for version, question in enumerate(questions):
            _check_options(attack, question, original)
            versions[version].append(Changed(question | {"question_id": original["question_id"]}, original))
    if not versions:
        raise ValueError(f"attack {attack.name!r} concerns no question about the people to forget; set it to false")
    return [versions[version] for version in sorted(versions)]


def attacked_images(
    attack: Attack, options: Mapping[str, Any], benchmark: Path, versions: Sequence[Sequence[Changed]], seed: int
) -> list[tuple[str, bytes]]:
    """The encoded pictures of some questions by id; those of an attack on pictures are changed, and PNG.

    Args:
        attack, options, benchmark, seed: as for :func:`attacked_questions`.
        versions: the questions.
    """
    image_ids = {changed.question["image_id"] for changes in versions for changed in changes}
    images = read_images(benchmark, image_ids - {None})
    if attack.kind != "picture":
        return images
    return [(image_id, _changed_picture(attack, options, image_id, data, seed)) for image_id, data in images]


def _changed_picture(attack: Attack, options: Mapping[str, Any], image_id: str, data: bytes, seed: int) -> bytes:
    image = decode(data, f"picture {image_id}")
    file = io.BytesIO()
    attack.apply(image, **_random(attack, seed, image_id), **options).save(file, "PNG")
    return file.getvalue()


def _random(attack: Attack, seed: int, name: str) -> dict[str, Random]:
    """The random numbers of a picture or a question, if the attack takes any."""
    return {"random": Random(f"{seed}:{attack.name}:{name}")} if "random" in attack.inputs else {}


def _people(benchmark: Path, forgotten: Set[str]) -> People:
    names = {row["person_id"]: row["name"] for row in read_table(benchmark, "people").to_pylist()}
    questions: dict[str, list[Question]] = defaultdict(list)
    for question in read_table(benchmark, "questions").sort_by("question_id").to_pylist():
        questions[question["person_id"]].append(question)
    trained = set(read_table(benchmark, "training_pairs", ["image_id"])["image_id"].to_pylist())
    image_ids: dict[str, list[str]] = defaultdict(list)
    rows = read_table(benchmark, "images", ["image_id", "person_id"]).to_pylist()
    for row in sorted(rows, key=lambda row: (row["image_id"] in trained, row["image_id"])):
        image_ids[row["person_id"]].append(row["image_id"])
    return People(names, questions, image_ids, forgotten)


def _check_options(attack: Attack, question: Question, original: Question) -> None:
    if sorted(question["options"]) != sorted(original["options"]):
        raise ValueError(
            f"attack {attack.name!r} makes {question['options']} of the options of question {original['question_id']!r}; "
            f"expected {original['options']}, in any order"
        )
