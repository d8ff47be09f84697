"""Saved predictions to one value a question and metric; no model, no torch."""

from __future__ import annotations

import pandas as pd

from unsee.evaluation import classification, cloze, generation

COLUMNS = ["question_id", "metric", "value"]

_OPTIONS = ("option_log_likelihoods", "option_tokens")

#: The metrics of each task.
METRICS = {"classification": classification.METRICS, "generation": generation.METRICS, "cloze": ("accuracy",)}


def score_predictions(predictions: pd.DataFrame, questions: pd.DataFrame, *, cloze_rule: str = "exact") -> pd.DataFrame:
    """``question_id, metric, value``, sorted by question: accuracy (0 or 1); of multiple choice also the right option's
    probability and truth ratio, of open answers overlaps (all 0 to 1).

    Args:
        predictions: of one run: ``question_id, output, reference, correct, option_log_likelihoods, option_tokens``.
        questions: the questions table (``question_id``, ``task``, ``answer_index``; with ``origin`` and ``person_id``, a run need
            not answer the test questions of a person, but then none of them).
        cloze_rule: see :func:`unsee.evaluation.cloze.matches`.

    Raises:
        ValueError: a prediction twice, of no question, or without what its task is scored by; a question without
            a prediction. The message names the first few.
    """
    _check(predictions, questions)
    asked = questions.set_index("question_id").loc[predictions["question_id"]]
    rows: list[tuple[str, str, float]] = []
    for question_id, task, answer, output, reference, correct, likelihoods, tokens in sorted(
        zip(
            predictions["question_id"],
            asked["task"],
            asked["answer_index"],
            *(predictions[name] for name in ("output", "reference", "correct", *_OPTIONS)),
            strict=True,
        ),
        key=lambda row: str(row[0]),
    ):
        if task == "classification":
            try:
                values = [float(correct), *classification.certainty(likelihoods, tokens, answer)]
            except ValueError as error:
                raise ValueError(f"question {question_id!r}: {error}; predict again") from error
        elif task == "cloze":
            try:
                values = [float(cloze.matches(output, reference, cloze_rule))]
            except ValueError as error:
                raise ValueError(f"question {question_id!r}: {error}") from error
        else:
            values = list(generation.overlap(output, reference).values())
        rows += [(question_id, metric, value) for metric, value in zip(METRICS[task], values, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"value": "float64"})


def _check(predictions: pd.DataFrame, questions: pd.DataFrame) -> None:
    asked = predictions["question_id"]
    _refuse(asked[asked.duplicated()], "answered more than once; predict again")
    _refuse(asked[~asked.isin(questions["question_id"])], "not in the benchmark; predict again")
    classified = questions.loc[questions["task"] == "classification", "question_id"]
    _refuse(
        asked[asked.isin(classified) & predictions["correct"].isna()],
        "multiple choice, but 'correct' is null; expected true or false, predict again",
    )
    texts = predictions[["output", "reference"]]
    _refuse(
        asked[~asked.isin(classified) & texts.isna().any(axis=1)],
        "an open question, but 'output' or 'reference' is null; expected text, predict again",
    )
    left = ~questions["question_id"].isin(asked)
    if "origin" in questions:
        of_test = questions["origin"] == "test"
        whole = questions["person_id"].isin(questions.loc[of_test & ~left, "person_id"])
        left &= ~of_test | whole
    _refuse(questions.loc[left, "question_id"], "not answered; predict again")


def _refuse(question_ids: pd.Series, why: str) -> None:
    if len(question_ids):
        named = ", ".join(repr(question_id) for question_id in question_ids.head(3))
        more = f" and {len(question_ids) - 3} more" if len(question_ids) > 3 else ""
        verb = "is" if len(question_ids) == 1 else "are"
        raise ValueError(f"predictions: question {named}{more} {verb} {why}")
