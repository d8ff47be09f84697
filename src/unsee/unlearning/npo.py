"""Negative preference optimisation: the forgotten answers as the rejected half of a preference."""

from __future__ import annotations

from typing import Annotated, Literal

import torch.nn.functional as F
from torch import Tensor

from unsee.training.scores import Scores
from unsee.unlearning.method import Needs, method


@method("npo", Needs(reference="retain"))
def npo(
    forget: Scores,
    reference: Scores,
    *,
    beta: Annotated[float, "> 0"] = 0.4,
    level: Literal["sequence_sum", "sequence_mean", "batch_mean"] = "sequence_sum",
    reference_model: Literal["retain", "vanilla"] = "retain",
) -> Tensor:
    """``(2 / beta) E log(1 + (pi / pi_ref)^beta)`` (VL-Eraser supplement, equation 15).

    Args:
        forget: of the model being unlearned.
        reference: of the reference model, on the same examples.
        beta: inverse temperature; as it goes to 0 the gradient becomes that of gradient ascent.
        level: what log pi is: ``sequence_sum``, the log-probability of an answer (the formula); ``sequence_mean``, per
            token of it; ``batch_mean``, one number, the mean over the batch's tokens (the official code).
        reference_model: which one the workflow asks: the retain-only model (the supplement), or ``vanilla``, the model
            before unlearning (Zhang et al., 2024).
    """
    current, known = _log_pi(forget, level), _log_pi(reference, level)
    return -(2 / beta) * F.logsigmoid(-beta * (current - known)).mean()


def _log_pi(scores: Scores, level: str) -> Tensor:
    match level:
        case "sequence_sum":
            return scores.sequence_sum().float()
        case "sequence_mean":
            return scores.sequence_mean().float()
        case _:
            return scores.token_log_probs.float().mean()
