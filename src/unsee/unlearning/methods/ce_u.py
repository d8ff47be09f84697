"""CE-U: learn the model's own predictions about the forgotten people, as they are without the answer's token."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import Needs, method


@method(
    "ce_u",
    Needs(vocabulary="forget"),
    label="CE-U",
    colour="#7766FF",
    marker="x",
    paper="https://arxiv.org/abs/2503.01224",
)
def ce_u(forget: Scores, *, skipped: Annotated[int, ">= 0"] = 0) -> Tensor:
    """``E[- sum_v q_v log p_v]``, q the model's softmax with the logit of the token y at minus infinity, constant (Yang, 2025).

    The share of y goes to the other tokens in proportion: the gradient of y's logit is p_y, which neither vanishes where
    the model is certain nor grows where it is not. As ``p_v = (1 - p_y) q_v``, this is ``E[- log(1 - p_y)]`` and the
    entropy of q, which is constant and left out. E averages over an answer's tokens, then over examples.

    Args:
        forget: Scores of the forget examples under the model being unlearned.
        skipped: The number of tokens at the beginning of each answer that are left alone, usually 0 or 1. An example
            with no other tokens adds nothing.
    """
    assert forget.log_probs is not None and forget.targets is not None
    log_p = forget.token_log_probs
    log_others = forget.log_probs.scatter(-1, forget.targets[:, None], -torch.inf).logsumexp(-1)
    # Where p_y is near 1, 1 - p_y has no digits; where it is small, the gradient through the others has few.
    small = log_p < math.log(0.5)
    loss = -torch.where(small, torch.log1p(-log_p.where(small, -1.0).exp()), log_others)
    kept = _position(forget.example) >= skipped
    left = Scores(loss[kept], forget.example[kept], forget.n_examples, n_in_step=forget.n_in_step)
    n_tokens = torch.bincount(left.example, minlength=left.n_examples).clamp_min(1)
    return left.average(left.sequence_sum() / n_tokens)


def _position(example: Tensor) -> Tensor:
    """The position of each token in its answer, from 0."""
    at = torch.arange(len(example), device=example.device)
    starts = torch.zeros_like(at).scatter_reduce(0, example, at, "amin", include_self=False)
    return at - starts[example]
