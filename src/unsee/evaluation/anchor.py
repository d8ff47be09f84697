"""Does this pipeline give the figure that others had from the same model and data?

Of the published evaluation only one task has no draw in it: generation, greedy and without examples. What it gives for a
model that nobody has trained since is a number that must come out again.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from unsee.benchmarks.splits import assign_sets
from unsee.evaluation.scoring import score_predictions

#: The questions, by columns of their table, and how they are asked.
QUESTIONS = {"origin": "profile", "modality": "image", "task": "generation"}
PROTOCOL = "mllmu-official"
COLUMNS = ["forget_percent", "set", "metric", "n_questions", "expected", "found", "difference", "tolerance", "within"]


def check(
    predictions: pd.DataFrame, questions: pd.DataFrame, splits: pd.DataFrame, figures: dict[str, Any]
) -> pd.DataFrame:
    """One row a set: the mean ROUGE-L expected and found.

    Args:
        predictions: the answers of the base model; those to :data:`QUESTIONS` count.
        questions, splits: the benchmark's tables.
        figures: ``forget_percent``, ``forget``, ``retain``, ``tolerance``: the configuration's ``anchor``.
    """
    keys = list(QUESTIONS)
    asked = questions[(questions[keys] == pd.Series(QUESTIONS)).all(axis=1)]
    predictions = predictions[predictions["question_id"].isin(asked["question_id"])]
    items = score_predictions(predictions, asked, {"protocol": PROTOCOL})
    rouge = items[items["metric"] == "rouge_l"].set_index("question_id")["value"].to_dict()
    percent, tolerance = figures["forget_percent"], figures["tolerance"]
    groups = assign_sets(asked, splits, percent)
    rows = []
    for group in ("forget", "retain"):
        values = [rouge[question_id] for question_id in asked.loc[groups == group, "question_id"]]
        found = sum(values) / len(values)
        gap = found - figures[group]
        within = abs(gap) <= tolerance
        rows.append((percent, group, "rouge_l", len(values), figures[group], found, gap, tolerance, within))
    return pd.DataFrame(rows, columns=COLUMNS)
