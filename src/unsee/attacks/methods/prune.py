"""The smallest weights of every matrix set to zero.

Wei et al., "Assessing the Brittleness of Safety Alignment via Pruning and Low-Rank Modifications",
https://arxiv.org/abs/2402.05162, cut weights to undo training; here the smallest go, by magnitude.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from torch import Tensor

from unsee.attacks.attack import State, Weights, attack
from unsee.attacks.matrices import matrices


@attack("prune", label="pruning", paper="https://arxiv.org/abs/2402.05162")
def prune(
    weights: Weights,
    *,
    share: Annotated[float, "> 0, < 1"] = 0.2,
    part: Literal["language", "vision", "both"] = "both",
) -> Iterator[State]:
    """Set weights to zero.

    Args:
        weights: the model.
        share: the part of each matrix's weights, those of the smallest absolute value.
        part: the decoder, tower and projector, or both.
    """
    for _, layer in matrices(weights.vlm, part):
        layer.weight.copy_(pruned(layer.weight, share))
    yield State()


def pruned(weight: Tensor, share: float) -> Tensor:
    """The matrix without ``share`` of its weights, rounded down."""
    number = int(share * weight.numel())
    smallest = weight.abs().flatten().topk(number, largest=False, sorted=False).indices
    return weight.flatten().index_fill(0, smallest, 0).view_as(weight)
