"""Score saved predictions, one task at a time. No model, no torch, no pandas.

A task's rules are in its own module, :mod:`unsee.evaluation.tasks`, which is imported by name: the code that scores a task is this file,
what it imports, and that module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from unsee.evaluation.rules import rules_of, unasked_tasks
from unsee.evaluation.settings import TASKS, task_of

if TYPE_CHECKING:
    import pandas as pd

#: One row a question and metric, sorted by question; ``value`` is 0 to 1.
SCORES = pa.schema([("question_id", pa.string()), ("metric", pa.string()), ("value", pa.float64())])


def score_task(task: str, predictions: pa.Table, questions: pa.Table, settings: Mapping[str, Any]) -> pa.Table:
    """The scores of one task's predictions.

    Args:
        task: one of :data:`unsee.evaluation.settings.TASKS`.
        predictions: of one run and this task: ``question_id, output, reference, correct, option_log_likelihoods, option_tokens``.
        questions: the questions table (``question_id``, ``task``, ``answer_index``; with ``origin`` and ``person_id``, a run need not
            answer the test questions of a person, but then none of them).
        settings: ``protocol`` (``unsee`` by default) and those of its settings that change this task's scores.

    Returns:
        A table of :data:`SCORES`.

    Raises:
        ValueError: a question is answered twice, or is not one of the task's; an answer lacks what it is scored by; a question has no
            answer. The message names the first few.
    """
    kinds = {row["question_id"]: row for row in questions.to_pylist() if task_of(row["task"]) == task}
    answers = sorted(predictions.to_pylist(), key=lambda answer: str(answer["question_id"]))
    _check(answers, kinds, unasked_tasks(settings))
    rows = []
    for answer in answers:
        question = kinds[answer["question_id"]]
        try:
            values = score_answer({**question, **answer}, settings)
        except ValueError as error:
            raise ValueError(f"question {answer['question_id']!r}: {error}; predict again") from error
        rows += [(answer["question_id"], metric, value) for metric, value in values.items()]
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.table(list(map(pa.array, columns, SCORES.types)), schema=SCORES)


def score_answer(answer: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one answer.

    Args:
        answer: ``task`` (the kind of question), ``answer_index`` and the columns of a prediction.
        settings: as for :func:`score_task`.

    Raises:
        ValueError: the answer cannot be scored.
    """
    kind = answer["task"]
    score = import_module(f"unsee.evaluation.tasks.{task_of(kind)}").score
    values: dict[str, float] = score(answer, **rules_of(settings)[kind])
    return values


def _check(
    answers: Sequence[Mapping[str, Any]], questions: Mapping[str, Mapping[str, Any]], unasked: Collection[str]
) -> None:
    counts = Counter(answer["question_id"] for answer in answers)
    _refuse([name for name, count in counts.items() if count > 1], "answered more than once; predict again")
    _refuse([name for name in counts if name not in questions], "not in the benchmark; predict again")
    _refuse(
        [row["question_id"] for row in answers if _kind(questions, row) == "classification" and row["correct"] is None],
        "multiple choice, but 'correct' is null; expected true or false, predict again",
    )
    _refuse(
        [
            row["question_id"]
            for row in answers
            if _kind(questions, row) != "classification" and (row["output"] is None or row["reference"] is None)
        ],
        "an open question, but 'output' or 'reference' is null; expected text, predict again",
    )
    unanswered = [name for name in _unanswered(questions, counts) if questions[name]["task"] not in unasked]
    _refuse(unanswered, "not answered; predict again")


def _kind(questions: Mapping[str, Mapping[str, Any]], answer: Mapping[str, Any]) -> str:
    return str(questions[answer["question_id"]]["task"])


def _unanswered(questions: Mapping[str, Mapping[str, Any]], answered: Collection[str]) -> list[str]:
    """The questions without an answer, except the test questions about a person who has no answered test question."""
    tested = {
        row.get("person_id") for name, row in questions.items() if row.get("origin") == "test" and name in answered
    }
    return [
        name
        for name, row in questions.items()
        if name not in answered and (row.get("origin") != "test" or row["person_id"] in tested)
    ]


def _refuse(question_ids: Sequence[str], why: str) -> None:
    if question_ids:
        named = ", ".join(map(repr, question_ids[:3]))
        more = f" and {len(question_ids) - 3} more" if len(question_ids) > 3 else ""
        verb = "is" if len(question_ids) == 1 else "are"
        raise ValueError(f"predictions: question {named}{more} {verb} {why}")


def score_predictions(
    predictions: pd.DataFrame, questions: pd.DataFrame, settings: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """The scores of a run's predictions, of all tasks: ``question_id, metric, value``, sorted by question.

    Args:
        predictions: as for :func:`score_task`, of all tasks that are to be scored.
        questions: the questions table.
        settings: the configuration's ``evaluation``; by default the protocol ``unsee`` with its defaults.

    Raises:
        ValueError: as for :func:`score_task`.
    """
    question_table = pa.Table.from_pandas(questions, preserve_index=False)
    # This checks all tasks together, in addition to score_task: a person's test questions are answered in all tasks or in none.
    answers = pa.Table.from_pandas(predictions[["question_id", "output", "reference", "correct"]], preserve_index=False)
    _check(
        answers.to_pylist(),
        {row["question_id"]: row for row in question_table.to_pylist()},
        unasked_tasks(settings or {}),
    )
    kinds = dict(zip(questions["question_id"], questions["task"], strict=True))
    tasks = predictions["question_id"].map(lambda name: task_of(kinds[name]) if name in kinds else TASKS[0])
    scores = []
    for task in TASKS:
        of_task = pa.Table.from_pandas(predictions[tasks == task], preserve_index=False)
        scores.append(score_task(task, of_task, question_table, settings or {}))
    table = pa.concat_tables(scores)
    joined: pd.DataFrame = table.to_pandas().sort_values("question_id", kind="stable", ignore_index=True)
    return joined
