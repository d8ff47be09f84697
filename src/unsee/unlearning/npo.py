"""Negative preference optimisation: the forgotten answers as the rejected half of a preference."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from unsee.training.scores import Scores
from unsee.unlearning.method import Needs, method


@method("npo", Needs(reference="retain"))
def npo(forget: Scores, reference: Scores, *, beta: float = 0.4) -> Tensor:
    """``(2 / beta) E log(1 + (pi / pi_ref)^beta)`` (VL-Eraser supplement, equation 15).

    Args:
        forget: of the model being unlearned.
        reference: of the retain-only model, on the same examples.
        beta: inverse temperature; as it goes to 0 the gradient becomes that of gradient ascent.
    """
    ratio = forget.sequence_sum().float() - reference.sequence_sum().float()
    return -(2 / beta) * F.logsigmoid(-beta * ratio).mean()
