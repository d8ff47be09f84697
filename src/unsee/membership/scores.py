"""Scores of membership and of extraction: how much one answer looks as if the model had been trained on it.

All are functions of an answer's tokens, given the picture and the question, and in all of them higher means more like a training pair.
Log-probabilities are in nats. An answer is its text without the end-of-sequence token.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AnswerTokens:
    """What a model says about the tokens of one answer, each given the tokens before it.

    Attributes:
        log_probs: the log-probability of each token, (t,), t at least 1.
        means: the mean of the log-probability over the vocabulary, weighted by the probabilities, (t,).
        deviations: its standard deviation, weighted in the same way, (t,).
        greedy: whether each token is the most probable one, (t,).
    """

    log_probs: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    greedy: np.ndarray


def loss(tokens: AnswerTokens) -> float:
    """Minus the loss: the mean log-probability of the tokens.

    Yeom et al., "Privacy Risk in Machine Learning", 2018, https://arxiv.org/abs/1709.01604.
    """
    return float(tokens.log_probs.mean())


def min_k(tokens: AnswerTokens, k_percent: int) -> float:
    """Min-K %: the mean log-probability of the k % least probable tokens, at least one.

    Shi et al., "Detecting Pretraining Data from Large Language Models", 2023, https://arxiv.org/abs/2310.16789.

    Args:
        tokens: the answer.
        k_percent: k, 1 to 100.
    """
    return mean_of_lowest(tokens.log_probs, k_percent)


def min_k_plus_plus(tokens: AnswerTokens, k_percent: int) -> float:
    """Min-K %++: the same mean of each token's log-probability in standard deviations above the vocabulary's mean.

    Zhang et al., "Min-K%++: Improved Baseline for Detecting Pre-Training Data from Large Language Models", 2024,
    https://arxiv.org/abs/2404.02936. Where all tokens of the vocabulary are equally probable, the value is 0.

    Args:
        tokens: the answer.
        k_percent: k, 1 to 100.
    """
    gaps = tokens.log_probs - tokens.means
    standardised = np.divide(gaps, tokens.deviations, out=np.zeros_like(gaps), where=tokens.deviations > 0)
    return mean_of_lowest(standardised, k_percent)


def zlib_ratio(tokens: AnswerTokens, answer: str) -> float:
    """Minus the loss, divided by the bytes that zlib compresses the answer to.

    Carlini et al., "Extracting Training Data from Large Language Models", 2021, https://arxiv.org/abs/2012.07805.

    Args:
        tokens: the answer.
        answer: its text.
    """
    return loss(tokens) / len(zlib.compress(answer.encode()))


def exposure(tokens: AnswerTokens) -> float:
    """The log-probability of the whole answer, the private string: the sum over its tokens.

    This is the exposure of ReMem (2026, https://arxiv.org/abs/2605.03759). The exposure of Carlini et al., "The Secret Sharer", 2019,
    https://arxiv.org/abs/1802.08232, is the rank of this number among all strings of the same form; comparing it with strangers' answers
    takes the place of the rank.
    """
    return float(tokens.log_probs.sum())


def extraction_strength(tokens: AnswerTokens) -> float:
    """1 minus the smallest share of the answer that must be given so that greedy decoding writes the rest exactly, 0 to 1.

    It is 0 where the last token is not the most probable one, since the whole answer must be given then; some implementations have a
    floor of 1 / t there. Wang et al., "Towards Effective Evaluations and Comparisons for LLM Unlearning Methods", 2024,
    https://arxiv.org/abs/2406.09179, after Carlini et al., 2021.

    Greedy decoding writes the rest exactly if, and only if, each of its tokens is the most probable one behind the true tokens before
    it. So nothing is decoded: it is the longest run of such tokens at the end of the answer.
    """
    wrong = np.flatnonzero(~tokens.greedy)
    rest = len(tokens.greedy) - (int(wrong[-1]) + 1 if len(wrong) else 0)
    return rest / len(tokens.greedy)


def mean_of_lowest(values: np.ndarray, k_percent: int) -> float:
    """The mean of the lowest k % of some values, rounded down to a whole number of them, but at least one."""
    n = max(1, k_percent * len(values) // 100)
    return float(np.sort(values)[:n].mean())


#: The names of the scores, in the order of the tables, and their labels.
SCORES = {
    "loss": "LOSS",
    "min_k": "Min-K %",
    "min_k_plus_plus": "Min-K %++",
    "zlib": "zlib ratio",
    "exposure": "exposure",
    "extraction_strength": "extraction strength",
}


def score_answer(tokens: AnswerTokens, answer: str, k_percent: int) -> dict[str, float]:
    """Every score of :data:`SCORES` of one answer.

    Args:
        tokens: what the model says about its tokens.
        answer: its text.
        k_percent: the share of the tokens that Min-K % and Min-K %++ take, 1 to 100.
    """
    values = {
        "loss": loss(tokens),
        "min_k": min_k(tokens, k_percent),
        "min_k_plus_plus": min_k_plus_plus(tokens, k_percent),
        "zlib": zlib_ratio(tokens, answer),
        "exposure": exposure(tokens),
        "extraction_strength": extraction_strength(tokens),
    }
    assert list(values) == list(SCORES)
    return values
