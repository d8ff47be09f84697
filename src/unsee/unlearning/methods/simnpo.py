"""SimNPO: negative preference optimisation without a reference model, on the mean log-likelihood of an answer's tokens."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import Needs, method


@method(
    "simnpo",
    Needs(retain_examples=True, retain_weight="alpha"),
    label="SimNPO",
    colour="#332288",
    marker="<",
    paper="https://arxiv.org/abs/2410.07163",
)
def simnpo(
    forget: Scores,
    retain: Scores,
    *,
    beta: Annotated[float, "> 0"] = 4.5,
    delta: Annotated[float, ">= 0"] = 0.0,
    gamma: Annotated[float, "> 0"] = 0.125,
    alpha: Annotated[float, ">= 0"] = 1.0,
) -> Tensor:
    """``- gamma (2 / beta) E log sigmoid(beta (l - delta)) + alpha L(D_r)``, l an example's mean NLL (Fan et al., 2024).

    Gradient ascent that stops by itself once an answer is unlikely, however likely a reference model finds it, so that
    short and well-remembered answers are unlearned as far as the others.

    Args:
        forget: Scores of the forget examples under the model being unlearned.
        retain: Scores of the retain examples under the same model.
        beta: How sharply the gradient ends where l exceeds ``delta``, usually 2.5 to 4.5.
        delta: The margin, in nats per token, usually 0 to 1. The paper's gamma is ``beta * delta``.
        gamma: The weight of the forget examples, usually 0.1 to 0.25.
        alpha: The weight of the retain examples, usually 1.
    """
    log_sigmoid = F.logsigmoid(beta * (-forget.sequence_mean() - delta))
    loss = -gamma * (2 / beta) * forget.average(log_sigmoid)
    return loss + alpha * retain.nll() if alpha else loss
