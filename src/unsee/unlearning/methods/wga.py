"""Weighted gradient ascent: each token of a forgotten answer is pushed down as far as the model still expects it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import Needs, method


@method(
    "wga",
    Needs(retain_examples=True, retain_weight="alpha"),
    label="WGA",
    colour="#DDCC77",
    marker=">",
    paper="https://arxiv.org/abs/2502.19301",
)
def wga(
    forget: Scores,
    retain: Scores,
    *,
    beta: Annotated[float, ">= 0"] = 1.0,
    gamma: Annotated[float, "> 0"] = 1.0,
    alpha: Annotated[float, ">= 0"] = 1.0,
) -> Tensor:
    """``gamma E p^beta log p + alpha L(D_r)``, p a token's probability, p^beta constant (Wang et al., ICLR 2025).

    The gradient of log p grows without bound as p vanishes, so that gradient ascent spends itself on tokens that are
    already forgotten; the weight takes that factor back.

    Args:
        forget: Scores of the forget examples under the model being unlearned.
        retain: Scores of the retain examples under the same model.
        beta: The power of the weight, usually 1 or more; at 0 every token weighs the same, as in gradient difference.
        gamma: The weight of the forget examples, usually 1.
        alpha: The weight of the retain examples, usually 1.
    """
    weights = (beta * forget.token_log_probs.detach()).exp()
    weighted = replace(forget, token_log_probs=weights * forget.token_log_probs)
    loss = gamma * forget.average(weighted.sequence_mean())
    return loss + alpha * retain.nll() if alpha else loss
