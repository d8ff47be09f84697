"""SatImp: gradient ascent on the tokens that are neither forgotten yet nor certain."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import Needs, method


@method(
    "satimp",
    Needs(retain_examples=True, retain_weight="alpha"),
    label="SatImp",
    colour="#661100",
    marker="p",
    paper="https://arxiv.org/abs/2505.11953",
)
def satimp(
    forget: Scores,
    retain: Scores,
    *,
    beta1: Annotated[float, ">= 0"] = 5.0,
    beta2: Annotated[float, ">= 0"] = 1.0,
    gamma: Annotated[float, "> 0"] = 0.1,
    alpha: Annotated[float, ">= 0"] = 1.0,
) -> Tensor:
    """``gamma E p^beta1 (1 - p)^beta2 log p + alpha L(D_r)``, the weight of a token constant (Yang et al., ICML 2025).

    Saturation, p^beta1, leaves alone what is already unlikely; importance, (1 - p)^beta2, leaves alone what every
    sentence of the kind has, which the model is certain of.

    Args:
        forget: Scores of the forget examples under the model being unlearned.
        retain: Scores of the retain examples under the same model.
        beta1: The power of the saturation, 0.3 to 5 in the authors' code.
        beta2: The power of the importance, 0.3 to 1 there.
        gamma: The weight of the forget examples, usually 0.1 (with ``alpha`` 1) to 1 (with ``alpha`` 0.1).
        alpha: The weight of the retain examples.
    """
    log_probs = forget.token_log_probs.detach()
    weights = (beta1 * log_probs).exp() * (-torch.expm1(log_probs)) ** beta2
    weighted = replace(forget, token_log_probs=weights * forget.token_log_probs)
    loss = gamma * forget.average(weighted.sequence_mean())
    return loss + alpha * retain.nll() if alpha else loss
