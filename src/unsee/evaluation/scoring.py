"""Saved predictions to one value a question and metric; no model, no torch."""

from __future__ import annotations

import pandas as pd

from unsee.evaluation import cloze, generation

COLUMNS = ["question_id", "metric", "value"]


def score_predictions(predictions: pd.DataFrame, questions: pd.DataFrame, *, cloze_rule: str = "exact") -> pd.DataFrame:
    """``question_id, metric, value``, sorted: accuracy (0 or 1), or the overlaps of open answers (0 to 1).

    Args:
        predictions: of one run.
        questions: the questions table (``question_id``, ``task``).
        cloze_rule: see :func:`unsee.evaluation.cloze.matches`.

    Raises:
        ValueError: a prediction twice, or of no question.
    """
    repeated = predictions["question_id"][predictions["question_id"].duplicated()]
    if len(repeated):
        raise ValueError(f"predictions: question {repeated.iloc[0]!r} is answered more than once ({len(repeated)} such)")
    tasks = questions.set_index("question_id")["task"]
    unknown = predictions["question_id"][~predictions["question_id"].isin(tasks.index)]
    if len(unknown):
        raise ValueError(
            f"predictions: question {unknown.iloc[0]!r} is not in the benchmark ({len(unknown)} such); predict again"
        )
    rows: list[tuple[str, str, float]] = []
    for row in predictions.sort_values("question_id").itertuples():
        task = tasks[row.question_id]
        if task == "classification":
            rows.append((row.question_id, "accuracy", float(bool(row.correct))))
        elif task == "cloze":
            rows.append((row.question_id, "accuracy", float(cloze.matches(row.output, row.reference, cloze_rule))))
        else:
            overlap = generation.overlap(row.output, row.reference)
            rows += [(row.question_id, metric, overlap[metric]) for metric in generation.METRICS]
    return pd.DataFrame(rows, columns=COLUMNS)
