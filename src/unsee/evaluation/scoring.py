"""Saved predictions to one value a question and metric; no model, no torch."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from unsee.evaluation.protocols import Protocol, load_protocol

COLUMNS = ["question_id", "metric", "value"]

_ANSWER = ["output", "reference", "correct", "option_log_likelihoods", "option_tokens"]


def score_predictions(
    predictions: pd.DataFrame, questions: pd.DataFrame, protocol: Protocol | None = None
) -> pd.DataFrame:
    """``question_id, metric, value``, sorted by question: the protocol's metrics of each answer, 0 to 1.

    Args:
        predictions: of one run: ``question_id, output, reference, correct, option_log_likelihoods, option_tokens``.
        questions: the questions table (``question_id``, ``task``, ``answer_index``; with ``origin`` and ``person_id``, a run need
            not answer the test questions of a person, but then none of them).
        protocol: the protocol that the answers were given to; by default ours.

    Raises:
        ValueError: a prediction twice, of no question, or without what its task is scored by; a question without
            a prediction. The message names the first few.
    """
    protocol = protocol or load_protocol({})
    _check(predictions, questions, protocol.partial_tasks)
    asked = questions.set_index("question_id").loc[predictions["question_id"]]
    rows: list[tuple[str, str, float]] = []
    answers = zip(
        *(predictions[name] for name in ("question_id", *_ANSWER)), asked["task"], asked["answer_index"], strict=True
    )
    for question_id, *answer in sorted(answers, key=lambda row: str(row[0])):
        named = dict(zip((*_ANSWER, "task", "answer_index"), answer, strict=True))
        try:
            values = protocol.score(named)
        except ValueError as error:
            raise ValueError(f"question {question_id!r}: {error}; predict again") from error
        rows += [
            (question_id, metric, value) for metric, value in zip(protocol.metrics[named["task"]], values, strict=True)
        ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"value": "float64"})


def _check(predictions: pd.DataFrame, questions: pd.DataFrame, partial_tasks: Sequence[str]) -> None:
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
    answered = questions["question_id"].isin(asked)
    left = ~answered & ~questions["task"].isin(partial_tasks)
    if "origin" in questions:
        of_test = questions["origin"] == "test"
        whole = questions["person_id"].isin(questions.loc[of_test & answered, "person_id"])
        left &= ~of_test | whole
    _refuse(questions.loc[left, "question_id"], "not answered; predict again")


def _refuse(question_ids: pd.Series, why: str) -> None:
    if len(question_ids):
        named = ", ".join(repr(question_id) for question_id in question_ids.head(3))
        more = f" and {len(question_ids) - 3} more" if len(question_ids) > 3 else ""
        verb = "is" if len(question_ids) == 1 else "are"
        raise ValueError(f"predictions: question {named}{more} {verb} {why}")
