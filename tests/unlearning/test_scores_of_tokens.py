"""SimNPO, WGA, SatImp, UNDIAL, CE-U and task vectors by hand, their gradients, and what public code of them gets wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.methods.ce_u import ce_u
from unsee.unlearning.methods.ga_diff import ga_diff
from unsee.unlearning.methods.npo import npo
from unsee.unlearning.methods.satimp import satimp
from unsee.unlearning.methods.simnpo import simnpo
from unsee.unlearning.methods.undial import undial
from unsee.unlearning.methods.wga import wga

# Two examples: one of three answer tokens, one of one.
EXAMPLE = torch.tensor([0, 0, 0, 1])
FORGET = Scores(torch.tensor([-1.0, -2.0, -3.0, -4.0]), EXAMPLE, 2)
RETAIN = Scores(torch.tensor([-0.5, -1.5, -0.1]), torch.tensor([0, 0, 1]), 2)
NOTHING = Scores(torch.zeros(0), torch.zeros(0, dtype=torch.long), 0, torch.zeros(0, 1), torch.zeros(0).long())
RETAIN_NLL = (1.0 + 0.1) / 2
TARGETS = torch.tensor([2, 0, 1, 2])


def scores_of(logits: Tensor, targets: Tensor = TARGETS, example: Tensor = EXAMPLE) -> Scores:
    """Scores with the vocabulary."""
    log_probs = logits.log_softmax(-1)
    token_log_probs = log_probs.gather(-1, targets[:, None])[:, 0]
    return Scores(token_log_probs, example, int(example.max()) + 1, log_probs, targets)


def random_logits(seed: int, size: int = 5) -> Tensor:
    return 3 * torch.randn(4, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient(loss: Tensor, weights: Tensor) -> Tensor:
    (result,) = torch.autograd.grad(loss, weights)
    return result


# --- SimNPO --------------------------------------------------------------------------------------------------------


def test_simnpo_by_hand() -> None:
    # Mean NLL of the examples: 2 and 4. -(2 / 4.5) log sigmoid(4.5 * 2) = 5.4842e-05, of 4.5 * 4 it is 6.7689e-09.
    assert simnpo(FORGET, NOTHING, alpha=0).item() == pytest.approx(0.125 * (5.4842e-05 + 6.7689e-09) / 2, rel=1e-4)
    by_hand = (math.log(1 + math.exp(-0.5 * (2 - 1))) + math.log(1 + math.exp(-0.5 * (4 - 1)))) / 2
    loss = simnpo(FORGET, RETAIN, beta=0.5, delta=1.0, gamma=0.25, alpha=2.0)
    assert loss.item() == pytest.approx(0.25 * (2 / 0.5) * by_hand + 2 * RETAIN_NLL, rel=1e-6)


def test_simnpo_ends_where_an_answer_is_unlikely_whatever_its_length() -> None:
    """The weight of an example's ascent is 2 gamma sigmoid(- beta (l - delta)), the same for one token as for three."""
    log_probs = torch.tensor([-1.0, -1.0, -1.0, -1.0, -9.0], requires_grad=True)
    scores = Scores(log_probs, torch.tensor([0, 0, 0, 1, 2]), 3)
    moved = gradient(simnpo(scores, NOTHING, beta=2.0, alpha=0, gamma=1.0), log_probs)
    weight = 2 / (1 + math.exp(2.0)) / 3
    torch.testing.assert_close(moved[:4], torch.tensor([weight / 3] * 3 + [weight]))
    assert 0 <= moved[4].item() < 1e-7


# --- WGA and SatImp ------------------------------------------------------------------------------------------------


def test_wga_by_hand() -> None:
    # Tokens: p log p = -0.36788, -0.27067, -0.14936, -0.07326.
    by_hand = ((-0.36788 - 0.27067 - 0.14936) / 3 - 0.07326) / 2
    assert wga(FORGET, NOTHING, alpha=0).item() == pytest.approx(by_hand, rel=1e-4)
    assert wga(FORGET, RETAIN, gamma=0.5, alpha=2.0).item() == pytest.approx(0.5 * by_hand + 2 * RETAIN_NLL, rel=1e-4)


def test_wga_without_a_power_is_gradient_difference() -> None:
    assert wga(FORGET, RETAIN, beta=0).item() == ga_diff(FORGET, RETAIN).item()


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_the_weight_of_wga_is_constant(beta: float) -> None:
    log_probs = FORGET.token_log_probs.double().requires_grad_()
    moved = gradient(wga(replace(FORGET, token_log_probs=log_probs), NOTHING, beta=beta, alpha=0), log_probs)
    share = torch.tensor([1 / 3, 1 / 3, 1 / 3, 1]) / 2  # a token's of the mean
    torch.testing.assert_close(moved, share * log_probs.detach().exp() ** beta)


def test_satimp_by_hand() -> None:
    # Tokens: p^2 (1 - p) log p = -0.085548, -0.031674, -0.0070662, -0.0013172.
    by_hand = ((-0.085548 - 0.031674 - 0.0070662) / 3 - 0.0013172) / 2
    assert satimp(FORGET, NOTHING, beta1=2, alpha=0).item() == pytest.approx(0.1 * by_hand, rel=1e-4)
    loss = satimp(FORGET, RETAIN, beta1=2, gamma=1, alpha=0.5)
    assert loss.item() == pytest.approx(by_hand + 0.5 * RETAIN_NLL, rel=1e-4)


def test_satimp_without_importance_is_wga() -> None:
    options = {"gamma": 0.3, "alpha": 0.7}
    assert satimp(FORGET, RETAIN, beta1=2, beta2=0, **options).item() == wga(FORGET, RETAIN, beta=2, **options).item()


@pytest.mark.parametrize(("beta1", "beta2"), [(5.0, 1.0), (0.3, 0.3), (1.0, 0.5)])
def test_the_weight_of_satimp_is_constant(beta1: float, beta2: float) -> None:
    log_probs = torch.tensor([-0.0, -1e-7, -1.0, -200.0], dtype=torch.float64, requires_grad=True)
    scores = replace(FORGET, token_log_probs=log_probs)
    moved = gradient(satimp(scores, NOTHING, beta1=beta1, beta2=beta2, alpha=0, gamma=1), log_probs)
    p = log_probs.detach().exp()
    share = torch.tensor([1 / 3, 1 / 3, 1 / 3, 1]) / 2
    torch.testing.assert_close(moved, share * p**beta1 * (1 - p) ** beta2)


@pytest.mark.parametrize("loss", [wga, satimp])
def test_answers_weigh_the_same_however_long_they_are(loss: object) -> None:
    """The official code divides by the tokens of the batch: the first example would weigh three times as much."""
    assert callable(loss)
    log_probs = torch.full((4,), -0.5, requires_grad=True)
    moved = gradient(loss(Scores(log_probs, EXAMPLE, 2), NOTHING, alpha=0), log_probs)
    assert moved[:3].sum().item() == pytest.approx(moved[3].item())


# --- NPO with a retain term ----------------------------------------------------------------------------------------


def test_npo_adds_the_retain_examples_where_they_weigh() -> None:
    without = npo(FORGET, FORGET, NOTHING)
    assert npo(FORGET, FORGET, RETAIN).item() == without.item()
    assert npo(FORGET, FORGET, RETAIN, alpha=1.5).item() == pytest.approx(without.item() + 1.5 * RETAIN_NLL)


# --- UNDIAL --------------------------------------------------------------------------------------------------------


def test_undial_by_hand() -> None:
    # Vanilla: y = 0 has the logit ln 8, the others 0. Less ln 4 it is ln 2, so that q = (1/2, 1/4, 1/4).
    vanilla = torch.tensor([[math.log(8), 0.0, 0.0]])
    now = torch.tensor([[0.2, 0.3, 0.5]]).log()
    one, y = torch.tensor([0]), torch.tensor([0])
    loss = undial(scores_of(now, y, one), NOTHING, scores_of(vanilla, y, one), beta=math.log(4))
    assert loss.item() == pytest.approx(-(math.log(0.2) / 2 + math.log(0.3) / 4 + math.log(0.5) / 4), rel=1e-6)


def adjusted(vanilla: Tensor, beta: float) -> Tensor:
    return (vanilla - beta * F.one_hot(TARGETS, vanilla.shape[1])).softmax(-1)


def test_undial_averages_tokens_then_examples() -> None:
    now, vanilla = random_logits(0), random_logits(1)
    tokens = F.cross_entropy(now, adjusted(vanilla, 3.0), reduction="none")
    expected = 0.5 * (tokens[:3].mean() + tokens[3]) / 2 + 2 * RETAIN_NLL
    loss = undial(scores_of(now), RETAIN, scores_of(vanilla), beta=3.0, gamma=0.5, alpha=2.0)
    torch.testing.assert_close(loss, expected)


def test_the_gradient_of_undial_is_the_difference_to_the_adjusted_predictions() -> None:
    now, vanilla = random_logits(0).requires_grad_(), random_logits(1)
    moved = gradient(undial(scores_of(now), NOTHING, scores_of(vanilla)), now)
    share = (torch.tensor([1 / 3, 1 / 3, 1 / 3, 1], dtype=torch.float64) / 2)[:, None]
    torch.testing.assert_close(moved, share * (now.softmax(-1) - adjusted(vanilla, 10.0)).detach())


def test_undial_is_at_rest_where_the_model_predicts_the_adjusted_distribution() -> None:
    vanilla = random_logits(1)
    now = (vanilla - 10 * F.one_hot(TARGETS, vanilla.shape[1])).requires_grad_()
    moved = gradient(undial(scores_of(now), NOTHING, scores_of(vanilla)), now)
    torch.testing.assert_close(moved, torch.zeros_like(moved), atol=1e-12, rtol=0)


def test_undial_keeps_the_shares_of_a_vanilla_that_is_certain() -> None:
    """In float32, where 1 - p_y of vanilla has three digits left."""
    vanilla = torch.tensor([[12.0, 0.0, 1.0, -1.0]])
    one, y = torch.tensor([0]), torch.tensor([0])
    now = torch.zeros(1, 4, requires_grad=True)
    moved = gradient(undial(scores_of(now, y, one), NOTHING, scores_of(vanilla, y, one), beta=30.0), now)
    weights = [math.exp(z) for z in (12 - 30, 0, 1, -1)]
    expected = torch.tensor([[0.25 - weight / sum(weights) for weight in weights]])
    torch.testing.assert_close(moved, expected, rtol=1e-5, atol=1e-7)


def test_undial_never_reads_a_position_without_a_label() -> None:
    """OpenUnlearning takes the mean over prompt and padding too, and turns down the token -100 counts to from the end.

    Here, four answer tokens among 96 others: there the loss, and with it the step, is not that of the answers, and it
    changes with the padding.
    """
    now, vanilla = random_logits(0, 200), random_logits(1, 200)
    loss = undial(scores_of(now), NOTHING, scores_of(vanilla), beta=10.0)
    labels = torch.cat([torch.full((96,), -100), TARGETS])
    all_now, all_vanilla = (torch.cat([torch.zeros(96, 200, dtype=torch.float64), z]) for z in (now, vanilla))
    turned_down = all_vanilla.clone()
    turned_down[torch.arange(100), labels] -= 10.0
    assert turned_down[0, 100].item() == -10.0, "a word that nobody named is turned down in the prompt"
    theirs = F.cross_entropy(all_now, turned_down.softmax(-1))
    assert abs(theirs.item() - loss.item()) > 0.5
    tokens = F.cross_entropy(all_now, turned_down.softmax(-1), reduction="none")[96:]
    torch.testing.assert_close(loss, (tokens[:3].mean() + tokens[3]) / 2)


# --- CE-U ----------------------------------------------------------------------------------------------------------


def official_ce_u(logits: Tensor) -> Tensor:
    """The cross-entropy of each token, by the formula."""
    others = logits.detach().scatter(-1, TARGETS[:, None], -torch.inf).softmax(-1)
    return F.cross_entropy(logits, others, reduction="none")


def test_ce_u_by_hand() -> None:
    # y = 2 has 1/2; without it, the others have 2/5 and 3/5. The entropy of these is left out.
    now = torch.tensor([[0.2, 0.3, 0.5]]).log()
    loss = ce_u(scores_of(now, torch.tensor([2]), torch.tensor([0])))
    entropy = -(0.4 * math.log(0.4) + 0.6 * math.log(0.6))
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
    assert loss.item() + entropy == pytest.approx(-(0.4 * math.log(0.2) + 0.6 * math.log(0.3)), rel=1e-6)


def test_the_gradient_of_ce_u_is_the_formulas_and_as_large_as_what_is_known() -> None:
    """p_y at the token y, and - p_v p_y / (1 - p_y) at another token v."""
    now = random_logits(0).requires_grad_()
    tokens = official_ce_u(now)
    moved = gradient(ce_u(scores_of(now)), now)
    torch.testing.assert_close(moved, gradient((tokens[:3].mean() + tokens[3]) / 2, now))
    p = now.detach().softmax(-1)
    p_y = p.gather(-1, TARGETS[:, None])
    assert 0 < p_y.min() < 0.5 < p_y.max()
    expected = (-p * p_y / (1 - p_y)).scatter(-1, TARGETS[:, None], p_y)
    share = (torch.tensor([1 / 3, 1 / 3, 1 / 3, 1], dtype=torch.float64) / 2)[:, None]
    torch.testing.assert_close(moved, share * expected)


@pytest.mark.parametrize("logit", [80.0, 17.0, 0.0, -17.0, -80.0])
def test_ce_u_keeps_its_digits_in_float32(logit: float) -> None:
    now = torch.tensor([[logit, 0.0, 1.0]], requires_grad=True)
    one, y = torch.tensor([0]), torch.tensor([0])
    loss = ce_u(scores_of(now, y, one))
    moved = gradient(loss, now)
    others = 1 + math.e
    p_y = 1 / (1 + others * math.exp(-logit))
    assert loss.item() == pytest.approx(math.log1p(math.exp(logit) / others), rel=2e-6)
    expected = torch.tensor([[p_y, -p_y / others, -p_y * math.e / others]])
    torch.testing.assert_close(moved, expected, rtol=2e-6, atol=0)


def test_ce_u_skips_the_first_tokens_of_each_answer() -> None:
    tokens = -torch.log1p(-scores_of(random_logits(0)).token_log_probs.exp())
    scores = scores_of(random_logits(0))
    torch.testing.assert_close(ce_u(scores), (tokens[:3].mean() + tokens[3]) / 2)
    # The second example has no other token. In OpenUnlearning a batch of such examples gives no number.
    torch.testing.assert_close(ce_u(scores, skipped=1), tokens[1:3].mean() / 2)
    assert ce_u(scores, skipped=3).item() == 0
    assert official_ce_u(random_logits(0))[:0].mean().isnan()


# --- a step without forget examples --------------------------------------------------------------------------------


def test_a_step_without_forget_examples_is_the_retain_term() -> None:
    """With ``alternation`` every other step has retain examples alone."""
    for loss in (simnpo, wga, satimp):
        assert loss(NOTHING, RETAIN, alpha=2.0).item() == pytest.approx(2 * RETAIN_NLL)
    assert npo(NOTHING, NOTHING, RETAIN, alpha=2.0).item() == pytest.approx(2 * RETAIN_NLL)
    assert undial(NOTHING, RETAIN, NOTHING, alpha=2.0).item() == pytest.approx(2 * RETAIN_NLL)
    assert ce_u(NOTHING).item() == ce_u(NOTHING, skipped=1).item() == 0
