"""Which option a model chooses."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unsee.core.failures import DivergedError


def choose(log_likelihoods: Sequence[float], tokens: Sequence[int], *, per_token: bool = True) -> int:
    """The index of the option with the highest log-likelihood, the first of equals.

    Divided by the number of tokens unless ``per_token`` is false, so that a short option is not preferred for being short.

    Args:
        log_likelihoods: sum of the log-probabilities of each option's tokens, in nats; -inf is allowed.
        tokens: how many each option has, at least 1.
        per_token: whether options are compared by the mean over their tokens, or by the sum (the plain argmax of
            P(y | image, x), VL-Eraser supplement, equation 13).

    Raises:
        ValueError: no options, lists of two lengths, or an option without tokens.
        DivergedError: a likelihood is not a number: such a model has no choice, and the first option is not its answer.
    """
    if len(log_likelihoods) != len(tokens) or not tokens:
        raise ValueError(
            f"options: {len(log_likelihoods)} log-likelihoods and {len(tokens)} token counts; "
            "expected as many of one as of the other, at least one"
        )
    for i, (total, count) in enumerate(zip(log_likelihoods, tokens, strict=True)):
        if count < 1:
            raise ValueError(f"option {i}: {count} tokens; expected at least one, an option needs some text")
        if math.isnan(total):
            raise DivergedError(
                f"option {i}: the log-likelihood is nan; expected a number: the model has diverged",
                "train it again with a lower learning rate",
            )
    scores = [total / (count if per_token else 1) for total, count in zip(log_likelihoods, tokens, strict=True)]
    return scores.index(max(scores))
