"""Every loss against a computation by hand, in plain Python numbers."""

from __future__ import annotations

import math

import pytest
import torch

from unsee.models.likelihood import Scores, selective_log_softmax
from unsee.unlearning.methods.ga import ga
from unsee.unlearning.methods.ga_diff import ga_diff
from unsee.unlearning.methods.kl_min import kl_min
from unsee.unlearning.methods.npo import npo

# Two examples: one of three answer tokens, one of one.
FORGET = Scores(torch.tensor([-1.0, -2.0, -3.0, -4.0]), torch.tensor([0, 0, 0, 1]), 2)
RETAIN = Scores(torch.tensor([-0.5, -1.5, -0.1]), torch.tensor([0, 0, 1]), 2)
NOTHING = Scores(torch.zeros(0), torch.zeros(0, dtype=torch.long), 0)


def test_scores_are_sums_and_means_of_their_tokens() -> None:
    assert FORGET.sequence_sum().tolist() == [-6.0, -4.0]
    assert FORGET.sequence_mean().tolist() == [-2.0, -4.0]
    assert FORGET.nll().item() == 3.0


def test_ga_is_minus_the_mean_nll() -> None:
    assert ga(FORGET).item() == -3.0


def test_ga_diff_is_retain_minus_forget() -> None:
    assert ga_diff(FORGET, RETAIN).item() == pytest.approx((1.0 + 0.1) / 2 - 3.0)


def test_npo_by_hand() -> None:
    reference = Scores(torch.tensor([-1.0, -1.0, -1.0, -5.0]), torch.tensor([0, 0, 0, 1]), 2)
    beta = 0.4
    expected = 2 / beta * (math.log(1 + math.exp(beta * (-6 + 3))) + math.log(1 + math.exp(beta * (-4 + 5)))) / 2
    assert npo(FORGET, reference, NOTHING, beta=beta).item() == pytest.approx(expected, rel=1e-6)


def test_npo_gradient_approaches_gradient_ascent_as_beta_vanishes() -> None:
    weights = torch.tensor([-6.0, -4.0], requires_grad=True)
    scores = Scores(weights, torch.tensor([0, 1]), 2)
    reference = Scores(torch.tensor([-5.0, -5.0]), torch.tensor([0, 1]), 2)
    npo(scores, reference, NOTHING, beta=1e-4).backward()
    assert weights.grad is not None
    # Gradient ascent on the summed log-likelihood: 1 / 2 for each of the two examples.
    torch.testing.assert_close(weights.grad, torch.tensor([0.5, 0.5]), atol=1e-3, rtol=0)


def test_npo_is_finite_when_a_naive_ratio_overflows() -> None:
    sure = Scores(torch.tensor([0.0]), torch.tensor([0]), 1)
    unsure = Scores(torch.tensor([-2000.0]), torch.tensor([0]), 1)
    assert npo(sure, unsure, NOTHING, beta=0.4).item() == pytest.approx(2 / 0.4 * 0.4 * 2000)
    assert npo(unsure, sure, NOTHING, beta=0.4).item() == pytest.approx(0.0, abs=1e-6)


def test_kl_min_by_hand() -> None:
    now = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    then = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.3, 0.3, 0.4]])
    example = torch.tensor([0, 0, 1])
    retain = Scores(now[:, 0].log(), example, 2, now.log())
    reference = Scores(then[:, 0].log(), example, 2, then.log())
    tokens = [
        sum(p * math.log(p / q) for p, q in zip(a, b, strict=True))
        for a, b in zip(now.tolist(), then.tolist(), strict=True)
    ]
    expected = ((tokens[0] + tokens[1]) / 2 + tokens[2]) / 2 - 3.0
    assert kl_min(FORGET, retain, reference).item() == pytest.approx(expected, rel=1e-5)


def test_kl_min_as_in_the_official_code() -> None:
    now = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    then = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.25, 0.25, 0.5]])
    example = torch.tensor([0, 0, 1])
    retain = Scores(now[:, 0].log(), example, 2, now.log())
    reference = Scores(then[:, 0].log(), example, 2, then.log())
    # torch's own divergence: the target is the second argument, and "batchmean" over two examples.
    divergence = torch.nn.functional.kl_div(now.log(), then, reduction="sum") / 2
    nll = -((math.log(0.7) + math.log(0.1)) / 2 + math.log(0.3)) / 2
    loss = kl_min(FORGET, retain, reference, direction="from_vanilla", reduction="sum", cross_entropy=True)
    assert loss.item() == pytest.approx(divergence.item() + nll - 3.0, rel=1e-5)


def test_kl_min_of_an_unchanged_model_is_gradient_ascent() -> None:
    log_probs = torch.randn(3, 7, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    same = Scores(log_probs[:, 0], torch.tensor([0, 0, 1]), 2, log_probs)
    assert kl_min(FORGET, same, same).item() == ga(FORGET).item()


def test_npo_when_policy_and_reference_are_equal() -> None:
    for level in ("sequence_sum", "sequence_mean", "token", "batch_mean"):
        assert npo(FORGET, FORGET, NOTHING, beta=0.4, level=level).item() == pytest.approx(2 / 0.4 * math.log(2))


def test_npo_levels_by_hand() -> None:
    reference = Scores(torch.tensor([-1.0, -1.0, -1.0, -5.0]), torch.tensor([0, 0, 0, 1]), 2)

    def term(difference: float) -> float:
        return 2 / 0.4 * math.log(1 + math.exp(0.4 * difference))

    by_answer = (term(-2 + 1) + term(-4 + 5)) / 2
    assert npo(FORGET, reference, NOTHING, beta=0.4, level="sequence_mean").item() == pytest.approx(by_answer, rel=1e-6)
    by_token = ((term(-1 + 1) + term(-2 + 1) + term(-3 + 1)) / 3 + term(-4 + 5)) / 2
    assert npo(FORGET, reference, NOTHING, beta=0.4, level="token").item() == pytest.approx(by_token, rel=1e-6)
    of_batch = term(-10 / 4 + 8 / 4)
    assert npo(FORGET, reference, NOTHING, beta=0.4, level="batch_mean").item() == pytest.approx(of_batch, rel=1e-6)


def test_selective_log_softmax_is_the_log_softmax_of_the_target() -> None:
    logits = torch.randn(5, 11, generator=torch.Generator().manual_seed(0)) * 30
    targets = torch.tensor([0, 10, 3, 3, 7])
    expected = logits.double().log_softmax(-1)[torch.arange(5), targets]
    torch.testing.assert_close(selective_log_softmax(logits, targets).double(), expected, atol=1e-5, rtol=1e-5)
