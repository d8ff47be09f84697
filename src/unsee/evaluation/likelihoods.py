"""How likely a model finds the right one of some options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def probability_and_truth_ratio(answer: Mapping[str, Any], *, per_token: bool = True) -> dict[str, float]:
    """How likely the right option is: its ``probability`` among the options, and the ``truth_ratio``.

    With p the likelihood of an option to the power of one by its number of tokens (the likelihood itself unless
    ``per_token``, so that the most probable option is always the chosen one), ``probability`` is p of the right
    option over the sum of all (0 to 1; 0.25 means no knowledge of four). TOFU's truth ratio R is the mean p of the
    wrong options over that of the right one (Maini et al., 2024, section 2.2.2, with the right option itself for its
    paraphrase), from 0 to infinity; here it is R / (1 + R), which keeps the order and lies between 0 and 1: 0 is sure
    of the right option, 0.5 as sure of the wrong ones, 1 sure of a wrong one.

    Args:
        answer: ``option_log_likelihoods``, the sum of the log-probabilities of each option's tokens, in nats; ``option_tokens``, how
            many there are; at least two options. ``answer_index``: the index of the right one.
        per_token: compare options by the mean over their tokens, not by the sum.

    Raises:
        ValueError: fewer than two options, lists of two lengths, or an index that is none of them.
    """
    log_likelihoods, tokens, right = (
        answer[key] for key in ("option_log_likelihoods", "option_tokens", "answer_index")
    )
    if len(log_likelihoods) != len(tokens) or len(tokens) < 2 or not 0 <= right < len(tokens):
        raise ValueError(
            f"options: {len(log_likelihoods)} log-likelihoods, {len(tokens)} token counts and the right one is number "
            f"{right}; expected as many of one as of the other, at least two, and the number of one of them"
        )
    scores = [total / (count if per_token else 1) for total, count in zip(log_likelihoods, tokens, strict=True)]
    top = max(scores)
    # If all options are impossible, the model knows nothing of them.
    shares = [1.0] * len(scores) if top == -math.inf else [math.exp(score - top) for score in scores]
    wrong = (sum(shares) - shares[right]) / (len(shares) - 1)
    return {"probability": shares[right] / sum(shares), "truth_ratio": wrong / (wrong + shares[right])}
