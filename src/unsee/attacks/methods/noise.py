"""Gaussian noise on every matrix, as large as a share of the matrix.

Forgetting that only just moved the weights is undone as easily by chance as by training.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, Literal

import torch
from torch import Tensor

from unsee.attacks.attack import State, Weights, attack
from unsee.attacks.matrices import matrices


@attack("noise", label="noise")
def noise(
    weights: Weights,
    *,
    share: Annotated[float, "> 0"] = 0.1,
    part: Literal["language", "vision", "both"] = "both",
) -> Iterator[State]:
    """Add noise to the weights.

    Args:
        weights: the model.
        share: the Frobenius norm of the noise of a matrix, as a share of the matrix's norm.
        part: the decoder, tower and projector, or both.
    """
    for name, layer in matrices(weights.vlm, part):
        layer.weight.add_(scaled_noise(layer.weight, share, Random(f"{weights.seed}:{name}")))
    yield State()


def scaled_noise(weight: Tensor, share: float, random: Random) -> Tensor:
    """Gaussian noise of a matrix's shape whose norm is ``share`` of the matrix's; of the same direction on every device."""
    generator = torch.Generator().manual_seed(random.getrandbits(63))
    values = torch.randn(weight.shape, generator=generator).to(weight.device)
    return values.mul_(share * weight.norm() / values.norm())
