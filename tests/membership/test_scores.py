"""Each score of an answer, by hand; the moments over the vocabulary, by a sum."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
import torch

from unsee.membership import scores
from unsee.membership.score_pairs import token_statistics
from unsee.membership.scores import AnswerTokens


def answer(log_probs: list[float], greedy: list[bool] | None = None) -> AnswerTokens:
    zeros = np.zeros(len(log_probs))
    return AnswerTokens(np.array(log_probs), zeros - 2.0, zeros + 0.5, np.array(greedy or [True] * len(log_probs)))


def test_loss_exposure_and_zlib() -> None:
    tokens = answer([-1.0, -2.0, -6.0])
    assert scores.loss(tokens) == -3.0
    assert scores.exposure(tokens) == -9.0
    assert scores.zlib_ratio(tokens, "Paul Smith") == -3.0 / len(zlib.compress(b"Paul Smith"))


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (20, -9.0),  # of ten tokens the two least probable: (-10 - 8) / 2
        (10, -10.0),
        (1, -10.0),  # never fewer than one
        (29, -9.0),  # rounded down
        (100, -4.3),
    ],
)
def test_min_k_of_a_list(k: int, expected: float) -> None:
    tokens = answer([-1.0, -10.0, -3.0, -2.0, -8.0, -4.0, -5.0, -6.0, -3.5, -0.5])
    assert scores.min_k(tokens, k) == pytest.approx(expected)
    # Two deviations of 0.5 make one: (log p + 2) / 0.5.
    assert scores.min_k_plus_plus(tokens, k) == pytest.approx((expected + 2) / 0.5)


def test_min_k_plus_plus_orders_tokens_by_their_standardised_value() -> None:
    """The least probable token is not the lowest where the vocabulary is spread out."""
    tokens = AnswerTokens(
        np.array([-6.0, -3.0]), np.array([-5.0, -1.0]), np.array([4.0, 0.5]), np.array([False, False])
    )
    assert scores.min_k(tokens, 50) == -6.0
    assert scores.min_k_plus_plus(tokens, 50) == (-3.0 + 1.0) / 0.5


def test_a_vocabulary_without_spread_counts_as_zero() -> None:
    even = token_statistics(torch.full((1, 8), math.log(1 / 8)), torch.tensor([3]))
    assert even.deviations[0] == pytest.approx(0, abs=1e-12)
    assert scores.min_k_plus_plus(AnswerTokens(even.log_probs, even.means, np.zeros(1), even.greedy), 20) == 0.0


@pytest.mark.parametrize(
    ("greedy", "expected"),
    [
        ([True, True, True, True], 1.0),  # nothing need be given
        ([False, True, True, True], 0.75),
        ([True, False, True, True], 0.5),
        ([True, True, True, False], 0.0),  # all must be given; not 1 / 4
        ([False], 0.0),
        ([True], 1.0),
    ],
)
def test_extraction_strength(greedy: list[bool], expected: float) -> None:
    assert scores.extraction_strength(answer([-1.0] * len(greedy), greedy)) == expected


def test_every_score_has_its_name() -> None:
    tokens = answer([-1.0, -3.0], [False, True])
    assert scores.score_answer(tokens, "ab", 50) == {
        "loss": -2.0,
        "min_k": -3.0,
        "min_k_plus_plus": -2.0,
        "zlib": -2.0 / len(zlib.compress(b"ab")),
        "exposure": -4.0,
        "extraction_strength": 0.5,
    }


def test_the_moments_are_weighted_by_the_probabilities() -> None:
    log_probs = torch.tensor([[0.5, 0.25, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0]]).log()
    statistics = token_statistics(log_probs, torch.tensor([1, 0]))
    mean = 0.5 * math.log(0.5) + 0.5 * math.log(0.25)
    spread = 0.5 * (math.log(0.5) - mean) ** 2 + 0.5 * (math.log(0.25) - mean) ** 2
    assert statistics.log_probs == pytest.approx([math.log(0.25), 0.0])
    assert statistics.means == pytest.approx([mean, 0.0])
    assert statistics.deviations == pytest.approx([math.sqrt(spread), 0.0])
    assert statistics.greedy.tolist() == [False, True]


def test_the_spread_of_a_model_that_is_sure_is_no_rounding_error() -> None:
    """In single precision the difference of two squares is negative here."""
    logits = torch.zeros(1, 1000)
    logits[0, 7] = 25.0
    statistics = token_statistics(logits.log_softmax(-1), torch.tensor([7]))
    p = torch.softmax(logits.double(), -1)[0]
    mean = float((p * p.log()).sum())
    assert statistics.deviations[0] == pytest.approx(math.sqrt(float((p * (p.log() - mean) ** 2).sum())), rel=1e-4)
    assert 0 < statistics.deviations[0] < 1e-2
