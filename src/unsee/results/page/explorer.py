"""What the report's explorer shows: every person, question and answer, compactly."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from unsee.benchmarks.schema import MODALITIES, ORIGINS, TASKS
from unsee.core.images import decode, open_image, read_size

#: Pictures are shown this many pixels wide or high at most.
PIXELS = 112
#: Formats that every browser shows.
_SHOWN = ("jpeg", "png", "webp", "gif")
#: The metric that an answer is coloured by.
_PRIMARY = {"classification": "accuracy", "generation": "rouge_l", "cloze": "accuracy", "likelihood": "probability"}

Run = tuple[int, str, int]


def explorer(
    tables: Mapping[str, pd.DataFrame], predictions: Mapping[Run, pd.DataFrame], scores: Mapping[Run, pd.DataFrame]
) -> dict[str, Any]:
    """Plain lists and numbers that the page's script reads; texts are numbered, so that each is there once.

    Args:
        tables: ``people``, ``images``, ``questions`` and ``splits`` of the benchmark.
        predictions: predictions.parquet of each run, by (ratio, method, seed); vanilla's ratio is 0.
        scores: item_scores.parquet of the same runs.
    """
    questions = tables["questions"].sort_values("question_id", kind="stable").reset_index(drop=True)
    people = tables["people"]
    person = {name: i for i, name in enumerate(people["person_id"])}
    texts: dict[str, int] = {}

    def number(text: object) -> int:
        return texts.setdefault(str(text), len(texts))

    wanted = questions["task"].map(_PRIMARY)
    runs = []
    for (percent, method, seed), table in predictions.items():
        output = table.set_index("question_id")["output"].reindex(questions["question_id"])
        items = scores[percent, method, seed].set_index(["question_id", "metric"])["value"]
        value = items.reindex(pd.MultiIndex.from_arrays([questions["question_id"], wanted]))
        runs.append(
            {
                "percent": int(percent),
                "method": method,
                "seed": int(seed),
                "answers": [-1 if pd.isna(text) else number(text) for text in output],
                "values": [-1 if pd.isna(v) else round(100 * v) for v in value],
            }
        )
    splits = tables["splits"][tables["splits"]["role"] == "forget"]
    return {
        "people": [
            {"name": row.name, "group": row.group, "facts": _facts(row.biography)}
            for row in people[["name", "group", "biography"]].itertuples(index=False, name="Person")
        ],
        "images": {
            image_id: data_url(picture)
            for image_id, picture in zip(tables["images"]["image_id"], tables["images"]["bytes"], strict=True)
        },
        "questions": {
            "person": [person[name] for name in questions["person_id"]],
            "origin": [ORIGINS.index(name) for name in questions["origin"]],
            "modality": [MODALITIES.index(name) for name in questions["modality"]],
            "task": [TASKS.index(name) for name in questions["task"]],
            "image": [None if pd.isna(name) else name for name in questions["image_id"]],
            "question": [number(text) for text in questions["question"]],
            "answer": [number(text) for text in questions["answer"]],
            "options": [number(" · ".join(options)) for options in questions["options"]],
        },
        "names": {"origin": ORIGINS, "modality": MODALITIES, "task": TASKS},
        "forgotten": {
            str(percent): [person[name] for name in part["person_id"]]
            for percent, part in splits.groupby("forget_percent")
        },
        "runs": runs,
        "texts": list(texts),
    }


def forgotten_people(
    tables: Mapping[str, pd.DataFrame], predictions: Mapping[Run, pd.DataFrame], percent: int, seed: int, count: int = 3
) -> list[dict[str, Any]]:
    """A few people forgotten at a ratio, for :func:`unsee.results.page.figures.portraits`, and an open question about each: the first by
    id who are asked about with their picture, then those who are asked about without.

    Args:
        tables, predictions: as for :func:`explorer`.
        percent, seed: whose runs are shown.
        count: how many people at most.
    """
    splits = tables["splits"]
    forgotten = splits.loc[(splits["forget_percent"] == percent) & (splits["role"] == "forget"), "person_id"]
    questions = tables["questions"]
    chosen = questions[
        questions["person_id"].isin(forgotten)
        & (questions["origin"] == "profile")
        & (questions["task"] == "generation")
    ]
    chosen = (
        chosen.sort_values(["modality", "question_id"]).drop_duplicates("person_id").head(count)
    )  # image, then text
    names = tables["people"].set_index("person_id")["name"]
    pictures = _pictures(tables)
    own = {
        method: table.set_index("question_id")["output"]
        for (at, method, s), table in predictions.items()
        if s == seed and at in (0, percent)
    }
    return [
        {
            "name": names[row["person_id"]],
            "picture": pictures.get(row["image_id"]),
            "question": row["question"],
            "reference": row["answer"],
            "answers": {method: outputs.get(row["question_id"], "") for method, outputs in own.items()},
        }
        for row in chosen.to_dict("records")
    ]


def one_person(
    tables: Mapping[str, pd.DataFrame],
    predictions: Mapping[Run, pd.DataFrame],
    scores: Mapping[Run, pd.DataFrame],
    ranking: pd.DataFrame,
) -> dict[str, Any] | None:
    """What vanilla, the best method and the retain-only model say about one person forgotten at the first ratio of the ranking:
    the first by id who is asked about, one question of each task and modality, of the first seed.

    Args:
        tables, predictions, scores: as for :func:`explorer`.
        ranking: as :func:`unsee.results.statistics.trade_off.trade_off` gives it, the best first.

    Returns:
        ``name``, ``picture`` (an address, or None), ``percent``, ``methods`` and ``questions``: of each ``question``, ``modality``,
        ``reference`` and ``answers``, pairs of text and value (0 to 1) in the order of ``methods``. None without any method, or
        without anybody who is asked about.
    """
    if ranking.empty:
        return None
    percent, seed = int(ranking["forget_percent"].iloc[0]), next(iter(predictions))[-1]
    methods = ["vanilla", str(ranking["method"].iloc[0]), "retain"]
    splits, questions = tables["splits"], tables["questions"].sort_values("question_id", kind="stable")
    gone = splits.loc[(splits["forget_percent"] == percent) & (splits["role"] == "forget"), "person_id"]
    own = questions[(questions["origin"] == "profile") & questions["person_id"].isin(gone)]
    if own.empty:
        return None
    own = own[own["person_id"] == own["person_id"].min()].drop_duplicates(["modality", "task"])
    outputs, values = {}, {}
    for (at, method, s), table in predictions.items():
        if s == seed and at in (0, percent):
            outputs[method] = table.set_index("question_id")["output"]
            values[method] = scores[at, method, s].set_index(["question_id", "metric"])["value"]
    own = own.sort_values(
        ["modality", "task"], key=lambda column: column.map((*MODALITIES, *TASKS).index), kind="stable"
    )
    pictures = _pictures(tables)
    shown = next((pictures[image_id] for image_id in own["image_id"] if image_id in pictures), None)
    return {
        "name": tables["people"].set_index("person_id")["name"][own["person_id"].iloc[0]],
        "picture": None if shown is None else data_url(shown),
        "percent": percent,
        "methods": methods,
        "questions": [
            {
                "question": row["question"],
                "modality": row["modality"],
                "reference": row["answer"],
                "answers": [
                    (outputs[method][row["question_id"]], values[method][row["question_id"], _PRIMARY[row["task"]]])
                    for method in methods
                ],
            }
            for row in own.to_dict("records")
        ],
    }


def _pictures(tables: Mapping[str, pd.DataFrame]) -> dict[str, bytes]:
    """The encoded pictures by id."""
    return dict(zip(tables["images"]["image_id"], tables["images"]["bytes"], strict=True))


def data_url(picture: bytes) -> str:
    """An encoded image as a ``data:`` address; a large one is made small first."""
    kind = str(open_image(picture, "picture").format).lower()
    if kind not in _SHOWN or max(read_size(picture, "picture")) > PIXELS:
        image = decode(picture, "picture")
        image.thumbnail((PIXELS, PIXELS))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85)
        picture, kind = buffer.getvalue(), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _facts(biography: object) -> dict[str, str]:
    """A biography's facts; a biography that is no JSON is one fact."""
    try:
        facts = json.loads(str(biography))
    except json.JSONDecodeError:
        return {"Biography": str(biography)}
    return {str(key): str(value) for key, value in facts.items()} if isinstance(facts, dict) else {}
