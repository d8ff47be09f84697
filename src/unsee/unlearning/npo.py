"""Negative preference optimisation: the forgotten answers as the rejected half of a preference."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch.nn.functional as F
from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import Needs, method


@method("npo", Needs(reference="retain_only", whole_step={"level": "batch_mean"}))
def npo(
    forget: Scores,
    reference: Scores,
    *,
    beta: Annotated[float, "> 0"] = 0.4,
    level: Literal["sequence_sum", "sequence_mean", "token", "batch_mean"] = "sequence_sum",
    reference_model: Literal["retain", "vanilla"] = "retain",
) -> Tensor:
    """``(2 / beta) E log(1 + (pi / pi_ref)^beta)`` (VL-Eraser supplement, equation 15).

    Args:
        forget: of the model being unlearned.
        reference: of the reference model, on the same examples.
        beta: inverse temperature; as it goes to 0 the gradient becomes that of gradient ascent.
        level: what log pi is: ``sequence_sum``, the log-probability of an answer (the NPO paper); ``sequence_mean``, its mean
            over the answer's tokens; ``token``, that of each answer token (the supplement's words, "prediction probability for
            token y"), with the loss averaged over an answer's tokens, then over examples; ``batch_mean``, one number, the mean
            over the batch's tokens (the official code), for which a step must be computed in one part.
        reference_model: which one the workflow asks: the retain-only model (the supplement), or ``vanilla``, the model
            before unlearning (Zhang et al., 2024).
    """
    log_sigmoid = F.logsigmoid(-beta * (_log_pi(forget, level) - _log_pi(reference, level)))
    if level == "token":
        log_sigmoid = replace(forget, token_log_probs=log_sigmoid).sequence_mean()
    mean = log_sigmoid if level == "batch_mean" else forget.average(log_sigmoid)
    return -(2 / beta) * mean


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
