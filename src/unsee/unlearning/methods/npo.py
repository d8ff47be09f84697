"""Negative preference optimisation: treat the forgotten answers as the rejected half of a preference."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch.nn.functional as F
from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import Needs, method


@method(
    "npo",
    Needs(retain_examples=True, retain_weight="alpha", reference="retain_only", whole_step={"level": "batch_mean"}),
    label="NPO",
    colour="#0072B2",
    marker="v",
    paper="https://arxiv.org/abs/2404.05868",
)
def npo(
    forget: Scores,
    reference: Scores,
    retain: Scores,
    *,
    beta: Annotated[float, "> 0"] = 0.4,
    level: Literal["sequence_sum", "sequence_mean", "token", "batch_mean"] = "sequence_sum",
    reference_model: Literal["retain", "vanilla"] = "retain",
    alpha: Annotated[float, ">= 0"] = 0.0,
) -> Tensor:
    """``(2 / beta) E log(1 + (pi / pi_ref)^beta) + alpha L(D_r)`` (Zhang et al., 2024; VL-Eraser supplement, equation 15).

    Gradient ascent that stops by itself: an example whose answer has become much less likely than under the reference
    model contributes almost no gradient.

    Args:
        forget: Scores of the forget examples under the model being unlearned.
        reference: Scores of the same examples under the reference model.
        retain: Scores of the retain examples under the model being unlearned; of none where ``alpha`` is 0.
        beta: Inverse temperature, usually 0.1 to 0.4 (the supplement's). As it goes to 0 the gradient becomes that of
            gradient ascent.
        level: What log pi is. ``sequence_sum``: the log-probability of an answer (the NPO paper). ``sequence_mean``: its
            mean over the answer's tokens. ``token``: the log-probability of each answer token (the supplement's words,
            "prediction probability for token y"); the loss is averaged over an answer's tokens, then over examples.
            ``batch_mean``: one number, the mean over the batch's tokens (the official code); a step must then be
            computed in one part.
        reference_model: The model that the workflow passes as the reference: ``retain``, the retain-only model (the
            supplement), or ``vanilla``, the model before unlearning (the NPO paper).
        alpha: The weight of the retain examples; 0 is the formula of both papers, 1 is common ("NPO + RT").
    """
    log_sigmoid = F.logsigmoid(-beta * (_log_pi(forget, level) - _log_pi(reference, level)))
    if level == "token":
        log_sigmoid = replace(forget, token_log_probs=log_sigmoid).sequence_mean()
    mean = log_sigmoid if level == "batch_mean" else forget.average(log_sigmoid)
    loss = -(2 / beta) * mean
    return loss + alpha * retain.nll() if alpha else loss


def _log_pi(scores: Scores, level: str) -> Tensor:
    match level:
        case "sequence_sum":
            return scores.sequence_sum().float()
        case "sequence_mean":
            return scores.sequence_mean().float()
        case "token":
            return scores.token_log_probs.float()
        case _:
            return scores.token_log_probs.float().mean()
