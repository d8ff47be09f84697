"""Eight-bit integers for every matrix, as a user of the model might store it.

An update smaller than half a step of the quantised numbers is rounded away, and what it hid comes back.

Zhang et al., "Catastrophic Failure of LLM Unlearning via Quantization", https://arxiv.org/abs/2410.16454; Dettmers et al.,
"LLM.int8()", https://arxiv.org/abs/2208.07339.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from unsee.attacks.attack import State, Weights, attack
from unsee.attacks.matrices import matrices


@attack("int8", label="int8", paper="https://arxiv.org/abs/2410.16454")
def int8(weights: Weights, *, part: Literal["language", "vision", "both"] = "both") -> Iterator[State]:
    """Round the weights; the model computes in float32 with what is left of them, and activations are not rounded.

    Args:
        weights: the model.
        part: the decoder, tower and projector, or both.
    """
    for _, layer in matrices(weights.vlm, part):
        layer.weight.copy_(rounded(layer.weight))
    yield State()


def rounded(weight: Tensor) -> Tensor:
    """The nearest of 255 evenly spaced numbers from -a to a, where a is the largest absolute value of the row."""
    largest = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
    return (weight * (127 / largest)).round() * (largest / 127)
