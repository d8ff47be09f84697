"""Multiple choice: the option that the model finds likeliest."""

from __future__ import annotations

from collections.abc import Sequence


def choose(log_likelihoods: Sequence[float], tokens: Sequence[int]) -> int:
    """The index of the option with the highest log-likelihood a token, the first of equals.

    Divided by the number of tokens so that a short option is not preferred for being short.

    Args:
        log_likelihoods: sum of the log-probabilities of each option's tokens, in nats.
        tokens: how many each option has, at least 1.

    Raises:
        ValueError: no options, or lists of two lengths.
    """
    means = [total / n for total, n in zip(log_likelihoods, tokens, strict=True)]
    return means.index(max(means))
