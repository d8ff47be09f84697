"""Build rows of the canonical tables (:mod:`unsee.benchmarks.schema`) from the texts of a published row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]
#: Rows of each canonical table but the images, by its name.
Tables = dict[str, list[Row]]


def person_row(person_id: str, name: str, group: str, biography: Mapping[str, Any]) -> Row:
    """A row of the people table."""
    return {"person_id": person_id, "name": name, "group": group, "biography": json.dumps(biography)}


def pair_row(pair_id: str, person_id: str, image_id: str | None, question: str, answer: str) -> Row:
    """A row of the training pairs; without an ``image_id`` it is a text-only pair."""
    return {
        "pair_id": pair_id,
        "person_id": person_id,
        "modality": "text" if image_id is None else "image",
        "image_id": image_id,
        "question": question,
        "answer": answer,
    }


def question_row(
    question_id: str,
    person_id: str,
    origin: str,
    task: str,
    image_id: str | None,
    *,
    question: str,
    answer: str,
    options: Sequence[str] = (),
) -> Row:
    """A row of the questions; ``answer`` is one of the ``options`` if there are any."""
    return {
        "question_id": question_id,
        "person_id": person_id,
        "origin": origin,
        "modality": "text" if image_id is None else "image",
        "task": task,
        "image_id": image_id,
        "question": question,
        "options": list(options),
        "answer": answer,
        "answer_index": options.index(answer) if options else -1,
    }


def split_rows(forget_percent: int, role: str, person_ids: set[str]) -> list[Row]:
    """Rows of the splits table for one role, sorted by person."""
    return [{"forget_percent": forget_percent, "person_id": person, "role": role} for person in sorted(person_ids)]
