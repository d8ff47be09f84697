"""KL minimisation: ascend on the forget examples, and keep vanilla's predictions on the retain examples."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import Needs, method


@method(
    "kl_min",
    Needs(retain_examples=True, reference="vanilla", reference_on="retain", vocabulary="retain"),
    label="KL_Min",
    colour="#009E73",
    marker="^",
    paper="https://arxiv.org/abs/2401.06121",
)
def kl_min(
    forget: Scores,
    retain: Scores,
    reference: Scores,
    *,
    direction: Literal["from_model", "from_vanilla"] = "from_model",
    reduction: Literal["mean", "sum"] = "mean",
    cross_entropy: bool = False,
) -> Tensor:
    """``- L(D_f) + mean_{D_r} KL(P || P_0)`` (TOFU's KL minimisation; VL-Eraser supplement, equation 14).

    Gradient ascent, held back by a penalty for predicting other words about the people to keep than vanilla does.
    The divergence is between whole next-token distributions at each answer token, averaged over an example's tokens,
    then over examples. It is 0 at the start.

    Args:
        forget: Scores of the forget examples under the model being unlearned.
        retain: Scores of the retain examples under the same model.
        reference: Scores of the same retain examples under vanilla.
        direction: ``from_model`` is KL(P || P_0), the formula; ``from_vanilla`` is KL(P_0 || P), the official code.
        reduction: Over an example's tokens; the official code sums.
        cross_entropy: Add ``L(D_r)``, as the official code does.
    """
    assert retain.log_probs is not None and reference.log_probs is not None
    first, second = retain.log_probs, reference.log_probs
    if direction == "from_vanilla":
        first, second = second, first
    per_token = replace(retain, token_log_probs=(first.exp() * (first - second)).sum(-1), log_probs=None)
    divergence = per_token.sequence_mean() if reduction == "mean" else per_token.sequence_sum()
    loss = per_token.average(divergence) - forget.nll()
    return loss + retain.nll() if cross_entropy else loss
