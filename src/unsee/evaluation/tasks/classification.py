"""Multiple choice: accuracy, and the likelihood of the right option."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unsee.evaluation.likelihoods import probability_and_truth_ratio


def score(answer: Mapping[str, Any], *, likelihoods: bool, per_token: bool = True) -> dict[str, float]:
    """The metrics of one answer.

    Args:
        answer: ``correct, option_log_likelihoods, option_tokens, answer_index``.
        likelihoods: whether options were scored by their likelihood; otherwise the model wrote a letter.
        per_token: see :func:`unsee.evaluation.likelihoods.probability_and_truth_ratio`.

    Raises:
        ValueError: the answer has no choice, or its likelihoods cannot be scored.
    """
    if answer["correct"] is None:
        raise ValueError("multiple choice, but 'correct' is null; expected true or false")
    metrics = {"accuracy": float(answer["correct"])}
    return metrics | (probability_and_truth_ratio(answer, per_token=per_token) if likelihoods else {})
