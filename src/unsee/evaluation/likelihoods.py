"""The probability of the right option, and TOFU's truth ratio."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def probability_and_truth_ratio(answer: Mapping[str, Any], *, per_token: bool = True) -> dict[str, float]:
    """The ``probability`` of the right option among all options, and the ``truth_ratio``.

    Let p be the likelihood of an option, raised to the power of 1 / (number of its tokens) with ``per_token``. The model's choice is the
    option with the largest p.

    - ``probability`` is p of the right option divided by the sum over all options, 0 to 1; 0.25 is chance among four options.
    - ``truth_ratio`` is R / (1 + R), 0 to 1. R is TOFU's truth ratio: the mean p of the wrong options divided by p of the right one
      (Maini et al., 2024, section 2.2.2, https://arxiv.org/abs/2401.06121, with the right option in place of its paraphrase). 0 means that
      only the right option is likely, 0.5 that right and wrong options are equally likely, 1 that only wrong options are.

    Args:
        answer: ``option_log_likelihoods``, the sum of the log-probabilities of each option's tokens, in nats; ``option_tokens``, the
            number of tokens of each option, of which there are at least two; ``answer_index``, the index of the right option.
        per_token: compare options by the mean over their tokens, not by the sum.

    Raises:
        ValueError: there are fewer than two options, the lists differ in length, or the index is out of range.
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
    # If all options have probability 0, they count as equally likely.
    shares = [1.0] * len(scores) if top == -math.inf else [math.exp(score - top) for score in scores]
    wrong = (sum(shares) - shares[right]) / (len(shares) - 1)
    return {"probability": shares[right] / sum(shares), "truth_ratio": wrong / (wrong + shares[right])}
