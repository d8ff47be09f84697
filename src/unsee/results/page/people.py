"""A few forgotten people and what the models say about them, for the portraits and the top of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from unsee.benchmarks.schema import MODALITIES, TASKS
from unsee.results.columns import RunKey, first_metric_of_each_task
from unsee.results.page.explorer import data_url


def forgotten_people(
    tables: Mapping[str, pd.DataFrame],
    predictions: Mapping[RunKey, pd.DataFrame],
    percent: int,
    seed: int,
    count: int = 3,
) -> list[dict[str, Any]]:
    """People who are forgotten at a ratio, each with an open question, for :func:`unsee.results.page.figures.portraits`.

    The people with a question about their picture come first, in the order of their ids, then those with a question in words only.

    Args:
        tables: ``people``, ``images``, ``questions`` and ``splits`` of the benchmark.
        predictions: the answers of each run to all tasks.
        percent, seed: of the runs that are shown.
        count: how many people at most.
    """
    questions = _about_forgotten(tables, percent)
    questions = questions[questions["task"] == "generation"]
    # "image" sorts before "text".
    questions = questions.sort_values(["modality", "question_id"]).drop_duplicates("person_id").head(count)
    names = tables["people"].set_index("person_id")["name"]
    pictures = _pictures(tables)
    outputs = {
        method: table.set_index("question_id")["output"]
        for (at, method, of_seed), table in predictions.items()
        if of_seed == seed and at in (0, percent)
    }
    return [
        {
            "name": names[row["person_id"]],
            "picture": pictures.get(row["image_id"]),
            "question": row["question"],
            "reference": row["answer"],
            "answers": {method: output.get(row["question_id"], "") for method, output in outputs.items()},
        }
        for row in questions.to_dict("records")
    ]


def one_person(
    tables: Mapping[str, pd.DataFrame],
    predictions: Mapping[RunKey, pd.DataFrame],
    item_scores: Mapping[RunKey, pd.DataFrame],
    ranking: pd.DataFrame,
) -> dict[str, Any] | None:
    """What the reference models and the best method say about one person who is forgotten at the first ratio of the ranking.

    It is the first person by id who has a question of the profile; shown is one question for each task and modality, of the first
    seed.

    Args:
        tables, predictions: as for :func:`forgotten_people`.
        item_scores: the scores of these answers.
        ranking: the best method first, see :func:`unsee.results.statistics.trade_off.trade_off`.

    Returns:
        ``name``, ``picture`` (a ``data:`` address, or None), ``percent``, ``methods`` and ``questions``: dicts of ``question``,
        ``modality``, ``task``, ``reference`` and ``answers``, pairs of text and value (0 to 1) in the order of ``methods``. None if
        the ranking is empty or no forgotten person has a question.
    """
    if ranking.empty:
        return None
    percent, seed = int(ranking["forget_percent"].iloc[0]), next(iter(predictions))[-1]
    questions = _about_forgotten(tables, percent).sort_values("question_id", kind="stable")
    if questions.empty:
        return None
    person_id = questions["person_id"].min()
    questions = _one_of_each_kind(questions[questions["person_id"] == person_id])
    best = str(ranking["method"].iloc[0])
    outputs, values = {}, {}
    for (at, method, of_seed), table in predictions.items():
        if of_seed == seed and at in (0, percent):
            outputs[method] = table.set_index("question_id")["output"]
            values[method] = item_scores[at, method, of_seed].set_index(["question_id", "metric"])["value"]
    # The best method stands between vanilla and the retain-only model.
    methods = [name for name in ("base", "vanilla", best, "retain") if name in outputs]
    pictures = _pictures(tables)
    picture = next((pictures[image_id] for image_id in questions["image_id"] if image_id in pictures), None)
    metrics = first_metric_of_each_task()
    return {
        "name": tables["people"].set_index("person_id")["name"][person_id],
        "picture": None if picture is None else data_url(picture),
        "percent": percent,
        "methods": methods,
        "questions": [
            {
                "question": row["question"],
                "modality": row["modality"],
                "task": row["task"],
                "reference": row["answer"],
                "answers": [
                    (outputs[method][row["question_id"]], values[method][row["question_id"], metrics[row["task"]]])
                    for method in methods
                ],
            }
            for row in questions.to_dict("records")
        ],
    }


def _about_forgotten(tables: Mapping[str, pd.DataFrame], percent: int) -> pd.DataFrame:
    """The questions of the profiles of the people who are forgotten at a ratio."""
    splits, questions = tables["splits"], tables["questions"]
    person_ids = splits.loc[(splits["forget_percent"] == percent) & (splits["role"] == "forget"), "person_id"]
    return questions[(questions["origin"] == "profile") & questions["person_id"].isin(person_ids)]


def _one_of_each_kind(questions: pd.DataFrame) -> pd.DataFrame:
    """The first question of each modality and task, in the order of the schema."""
    order = {name: i for i, name in enumerate((*MODALITIES, *TASKS))}
    first = questions.drop_duplicates(["modality", "task"])
    return first.sort_values(["modality", "task"], key=lambda column: column.map(order), kind="stable")


def _pictures(tables: Mapping[str, pd.DataFrame]) -> dict[str, bytes]:
    """The encoded pictures by id."""
    return dict(zip(tables["images"]["image_id"], tables["images"]["bytes"], strict=True))
