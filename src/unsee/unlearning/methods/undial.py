"""UNDIAL: learn vanilla's own predictions about the forgotten people, with the answer's token turned down."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import Needs, method


@method(
    "undial",
    Needs(retain_examples=True, retain_weight="alpha", reference="vanilla", vocabulary="forget"),
    label="UNDIAL",
    colour="#550055",
    marker="h",
    paper="https://arxiv.org/abs/2402.10052",
)
def undial(
    forget: Scores,
    retain: Scores,
    reference: Scores,
    *,
    beta: Annotated[float, "> 0"] = 10.0,
    gamma: Annotated[float, "> 0"] = 1.0,
    alpha: Annotated[float, ">= 0"] = 0.0,
) -> Tensor:
    """``gamma E[- sum_v q_v log p_v] + alpha L(D_r)``, ``q = softmax(z_0 - beta [v = y])`` (Dong et al., NAACL 2025).

    Descent to a fixed target instead of ascent without end: what vanilla would say next if it did not know the token y.
    The loss is least, and its gradient zero, where the model predicts q.

    Args:
        forget: Scores of the forget examples under the model being unlearned.
        retain: Scores of the retain examples under the same model.
        reference: Scores of the same forget examples under vanilla, whose logits are z_0 up to a constant.
        beta: What is taken from the logit of y, usually 3 to 30.
        gamma: The weight of the forget examples, usually 1.
        alpha: The weight of the retain examples, usually 0 to 5; at 0 they are not read.
    """
    assert forget.log_probs is not None and reference.log_probs is not None and forget.targets is not None
    penalty = torch.full_like(reference.token_log_probs, -beta)
    logits = reference.log_probs.scatter_add(-1, forget.targets[:, None], penalty[:, None])
    cross_entropy = -(logits.softmax(-1) * forget.log_probs).sum(-1)
    loss = gamma * forget.average(replace(forget, token_log_probs=cross_entropy).sequence_mean())
    return loss + alpha * retain.nll() if alpha else loss
