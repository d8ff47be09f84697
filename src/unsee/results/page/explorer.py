"""The data of the page's explorer: every person, question and answer, in few bytes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from unsee.benchmarks.schema import MODALITIES, ORIGINS, SETS, TASKS
from unsee.core.images import decode, open_image, read_size
from unsee.results.columns import RunKey, first_metric_of_each_task

#: The largest width and height of a picture on the page.
PIXELS = 112
#: Formats that every browser shows.
_SHOWN = ("jpeg", "png", "webp", "gif")


class _Texts:
    """Texts by number, so that each is on the page once."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, text: object) -> int:
        return self.numbers.setdefault(str(text), len(self.numbers))


def explorer(
    tables: Mapping[str, pd.DataFrame],
    predictions: Mapping[RunKey, pd.DataFrame],
    item_scores: Mapping[RunKey, pd.DataFrame],
) -> dict[str, Any]:
    """Lists and numbers that the page's script reads.

    Args:
        tables: ``people``, ``images``, ``questions`` and ``splits`` of the benchmark.
        predictions: the answers of each run to all tasks.
        item_scores: the scores of these answers.
    """
    questions = tables["questions"].sort_values("question_id", kind="stable").reset_index(drop=True)
    people = tables["people"]
    numbers = {person_id: i for i, person_id in enumerate(people["person_id"])}
    forgotten = tables["splits"][tables["splits"]["role"] == "forget"]
    texts = _Texts()
    runs = [_run(key, table, item_scores[key], questions, texts) for key, table in predictions.items()]
    return {
        "people": [
            {"name": row.name, "group": row.group, "facts": _facts(row.biography)}
            for row in people[["name", "group", "biography"]].itertuples(index=False, name="Person")
        ],
        "images": {
            image_id: data_url(picture)
            for image_id, picture in zip(tables["images"]["image_id"], tables["images"]["bytes"], strict=True)
        },
        "questions": _questions(questions, numbers, texts),
        "names": {"set": SETS, "origin": ORIGINS, "modality": MODALITIES, "task": TASKS},
        "forgotten": {
            str(percent): [numbers[person_id] for person_id in part["person_id"]]
            for percent, part in forgotten.groupby("forget_percent")
        },
        "runs": runs,
        "texts": list(texts.numbers),
    }


def _run(
    key: RunKey, predictions: pd.DataFrame, item_scores: pd.DataFrame, questions: pd.DataFrame, texts: _Texts
) -> dict[str, Any]:
    """One run's answers, as numbers of texts, and their values, 0 to 100; -1 where a question was not asked."""
    percent, method, seed = key
    output = predictions.set_index("question_id")["output"].reindex(questions["question_id"])
    metrics = questions["task"].map(first_metric_of_each_task())
    values = item_scores.set_index(["question_id", "metric"])["value"].reindex(
        pd.MultiIndex.from_arrays([questions["question_id"], metrics])
    )
    return {
        "percent": int(percent),
        "method": method,
        "seed": int(seed),
        "answers": [-1 if pd.isna(text) else texts.number(text) for text in output],
        "values": [-1 if pd.isna(value) else round(100 * value) for value in values],
    }


def _questions(questions: pd.DataFrame, people: Mapping[str, int], texts: _Texts) -> dict[str, list[Any]]:
    return {
        "person": [people[person_id] for person_id in questions["person_id"]],
        "origin": [ORIGINS.index(name) for name in questions["origin"]],
        "modality": [MODALITIES.index(name) for name in questions["modality"]],
        "task": [TASKS.index(name) for name in questions["task"]],
        "image": [None if pd.isna(image_id) else image_id for image_id in questions["image_id"]],
        "question": [texts.number(text) for text in questions["question"]],
        "answer": [texts.number(text) for text in questions["answer"]],
        "options": [texts.number(" · ".join(options)) for options in questions["options"]],
    }


def data_url(picture: bytes) -> str:
    """An encoded image as a ``data:`` address; an image of more than :data:`PIXELS` is made smaller."""
    kind = str(open_image(picture, "picture").format).lower()
    if kind not in _SHOWN or max(read_size(picture, "picture")) > PIXELS:
        image = decode(picture, "picture")
        image.thumbnail((PIXELS, PIXELS))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85)
        picture, kind = buffer.getvalue(), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _facts(biography: object) -> dict[str, str]:
    """A biography's facts; a biography that is not JSON is one fact."""
    try:
        facts = json.loads(str(biography))
    except json.JSONDecodeError:
        return {"Biography": str(biography)}
    return {str(key): str(value) for key, value in facts.items()} if isinstance(facts, dict) else {}
