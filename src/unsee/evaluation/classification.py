"""Multiple choice: the option that the model finds likeliest, and how sure it is of the right one."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Of each answer, in this order; see :func:`choose` and :func:`certainty`.
METRICS = ("accuracy", "probability", "truth_ratio")


def choose(log_likelihoods: Sequence[float], tokens: Sequence[int], *, per_token: bool = True) -> int:
    """The index of the option with the highest log-likelihood, the first of equals.

    Divided by the number of tokens unless ``per_token`` is false, so that a short option is not preferred for being short.

    Args:
        log_likelihoods: sum of the log-probabilities of each option's tokens, in nats; -inf is allowed.
        tokens: how many each option has, at least 1.
        per_token: whether options are compared by the mean over their tokens, or by the sum (the plain argmax of
            P(y | image, x), VL-Eraser supplement, equation 13).

    Raises:
        ValueError: no options, lists of two lengths, an option without tokens, or a likelihood that is not a
            number (a model that diverged has no choice, and the first option is not its answer).
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
            raise ValueError(
                f"option {i}: the log-likelihood is nan; expected a number. The model has diverged: "
                "train it again with a lower learning rate"
            )
    scores = _scores(log_likelihoods, tokens, per_token)
    return scores.index(max(scores))


def certainty(
    log_likelihoods: Sequence[float], tokens: Sequence[int], answer: int, *, per_token: bool = True
) -> tuple[float, float]:
    """How likely the right option is: its ``probability`` among the options, and the ``truth_ratio``.

    With p the likelihood of an option to the power of one by its number of tokens (the likelihood itself unless
    ``per_token``, so that the most probable option is always the chosen one), ``probability`` is p of the right
    option over the sum of all (0 to 1; 0.25 is knowing nothing of four). TOFU's truth ratio R is the mean p of the
    wrong options over that of the right one (Maini et al., 2024, section 2.2.2, with the right option itself for its
    paraphrase), from 0 to infinity; here it is R / (1 + R), which keeps the order and lies between 0 and 1: 0 is sure
    of the right option, 0.5 as sure of the wrong ones, 1 sure of a wrong one.

    Args:
        log_likelihoods, tokens, per_token: as for :func:`choose`; at least two options.
        answer: the index of the right option.

    Raises:
        ValueError: fewer than two options, lists of two lengths, or an index that is none of them.
    """
    if len(log_likelihoods) != len(tokens) or len(tokens) < 2 or not 0 <= answer < len(tokens):
        raise ValueError(
            f"options: {len(log_likelihoods)} log-likelihoods, {len(tokens)} token counts and the right one is number "
            f"{answer}; expected as many of one as of the other, at least two, and the number of one of them"
        )
    scores = _scores(log_likelihoods, tokens, per_token)
    top = max(scores)
    # All impossible is knowing nothing.
    shares = [1.0] * len(scores) if top == -math.inf else [math.exp(score - top) for score in scores]
    right = shares[answer]
    wrong = (sum(shares) - right) / (len(shares) - 1)
    return right / sum(shares), wrong / (wrong + right)


def _scores(log_likelihoods: Sequence[float], tokens: Sequence[int], per_token: bool) -> list[float]:
    """What options are compared by, in nats."""
    return [total / (count if per_token else 1) for total, count in zip(log_likelihoods, tokens, strict=True)]
