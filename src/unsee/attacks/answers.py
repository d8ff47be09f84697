"""The answers of an attacked model: of each state of the model, to each version of the benchmark's questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from unsee.attacks.attack import State
from unsee.evaluation.predict import PREDICTIONS
from unsee.evaluation.protocol import Question

#: One row for each state, version and question. ``variant``, ``step`` and ``diverged`` are the
#: :class:`~unsee.attacks.attack.State` of the model; one that has diverged has given no answer.
#: ``version`` numbers the questions that an attack made of one, from 0. ``question_id`` and ``reference`` are those of the
#: benchmark's question, and options are in its order, so that the ordinary scoring reads these answers.
ATTACKED = pa.schema(
    [("variant", pa.string()), ("step", pa.int32()), ("diverged", pa.bool_()), ("version", pa.int32()), *PREDICTIONS]
)


def attacked_row(
    prediction: Mapping[str, Any], state: State, version: int, changed: Question, original: Question
) -> dict[str, Any]:
    """A row of :data:`ATTACKED`.

    Args:
        prediction: a row of predictions about ``changed``.
        state: the state of the model.
        version: the number of ``changed`` among the questions that the attack made of ``original``.
        changed: the question as the attack has changed it; its options are those of ``original`` in any order.
        original: the benchmark's question.
    """
    row = {**state._asdict(), "version": version, **prediction, "reference": original["answer"]}
    if not original["options"]:
        return row
    order = [changed["options"].index(option) for option in original["options"]]
    for column in ("option_log_likelihoods", "option_tokens"):
        row[column] = [row[column][place] for place in order] if row[column] else row[column]
    if row["choice"] >= 0:
        row["choice"] = order.index(row["choice"])
        row["correct"] = row["choice"] == original["answer_index"]
    return row


def without_answer(state: State, version: int, original: Question) -> dict[str, Any]:
    """A row of :data:`ATTACKED` of a state that has diverged; ``version`` and ``original`` as for :func:`attacked_row`."""
    return {
        **state._replace(diverged=True)._asdict(),
        **{"version": version, "question_id": original["question_id"], "reference": original["answer"]},
        **{
            "prompt": "",
            "output": "",
            "option_log_likelihoods": [],
            "option_tokens": [],
            "choice": -1,
            "correct": None,
        },
    }
