"""Four bits for every number of a matrix: QLoRA's NormalFloat, as a user of the model might store it.

An update smaller than half the distance of two levels is rounded away, and what it hid comes back.

Zhang et al., "Catastrophic Failure of LLM Unlearning via Quantization", https://arxiv.org/abs/2410.16454; Dettmers et al.,
"QLoRA", https://arxiv.org/abs/2305.14314, appendix E.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from unsee.attacks.attack import State, Weights, attack
from unsee.attacks.matrices import matrices

#: Quantiles of a normal distribution, scaled to [-1, 1], with a level at zero.
LEVELS = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)


@attack("nf4", label="NF4", paper="https://arxiv.org/abs/2410.16454")
def nf4(
    weights: Weights,
    *,
    block: Annotated[int, ">= 1"] = 64,
    part: Literal["language", "vision", "both"] = "both",
) -> Iterator[State]:
    """Round the weights; the model computes in float32 with what is left of them.

    The scales are not quantised a second time.

    Args:
        weights: the model.
        block: consecutive weights that share a scale.
        part: the decoder, tower and projector, or both.
    """
    for _, layer in matrices(weights.vlm, part):
        layer.weight.copy_(rounded(layer.weight, block))
    yield State()


def rounded(weight: Tensor, block: int) -> Tensor:
    """The nearest level, times the largest absolute value of the block; blocks run along the rows, one after another."""
    flat = weight.flatten()
    blocks = pad(flat, (0, -len(flat) % block)).view(-1, block)
    largest = blocks.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
    levels = torch.tensor(LEVELS, device=weight.device)
    nearest = torch.bucketize(blocks / largest, (levels[1:] + levels[:-1]) / 2, out_int32=True)
    return (levels[nearest] * largest).flatten()[: len(flat)].view_as(weight)
