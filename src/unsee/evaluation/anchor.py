"""Compare the base model's score with a published one.

Only one task of the published evaluation draws nothing at random: generation, which is greedy and without examples. Its score of an
unchanged published model must therefore be reproduced.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from unsee.benchmarks.splits import assign_sets
from unsee.evaluation.scoring import score_predictions

#: The questions, by columns of their table, and the protocol that asks them.
QUESTIONS = {"origin": "profile", "modality": "image", "task": "generation"}
PROTOCOL = "mllmu-official"
COLUMNS = ["forget_percent", "set", "metric", "n_questions", "expected", "found", "difference", "tolerance", "within"]


def check(
    predictions: pd.DataFrame, questions: pd.DataFrame, splits: pd.DataFrame, figures: dict[str, Any]
) -> pd.DataFrame:
    """One row per set: its published mean ROUGE-L (``expected``) and the one of this run (``found``).

    Args:
        predictions: the answers of the base model; only those to :data:`QUESTIONS` are used.
        questions, splits: the benchmark's tables.
        figures: ``forget_percent``, ``forget``, ``retain``, ``tolerance``: the configuration's ``anchor``.
    """
    keys = list(QUESTIONS)
    open_questions = questions[(questions[keys] == pd.Series(QUESTIONS)).all(axis=1)]
    predictions = predictions[predictions["question_id"].isin(open_questions["question_id"])]
    items = score_predictions(predictions, open_questions, {"protocol": PROTOCOL})
    rouge = items[items["metric"] == "rouge_l"].set_index("question_id")["value"].to_dict()
    percent, tolerance = figures["forget_percent"], figures["tolerance"]
    groups = assign_sets(open_questions, splits, percent)
    rows = []
    for group in ("forget", "retain"):
        values = [rouge[question_id] for question_id in open_questions.loc[groups == group, "question_id"]]
        mean = sum(values) / len(values)
        gap = mean - figures[group]
        within = abs(gap) <= tolerance
        rows.append((percent, group, "rouge_l", len(values), figures[group], mean, gap, tolerance, within))
    return pd.DataFrame(rows, columns=COLUMNS)
