"""Dropout with random numbers that are cheap on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVELS = 256


class ByteDropout(nn.Module):
    """Dropout that uses one random byte per element, eight from each draw of the generator.

    On a CPU ``nn.Dropout`` spends more time on its random numbers than a small linear layer on its product. Here the
    probability is rounded to a multiple of 1/256, and what is kept is scaled for the rounded probability.

    Args:
        p: The probability that an element becomes zero.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self._cut = round(LEVELS * p)

    def forward(self, x: Tensor) -> Tensor:
        mask = self.mask(x)
        return x if mask is None else x * mask

    def mask(self, x: Tensor) -> Tensor | None:
        """The factors for ``x``, of its shape; ``None`` if nothing is dropped."""
        if not self.training or self._cut == 0:
            return None
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
        keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self._cut
        return keep * (LEVELS / (LEVELS - self._cut))

    def extra_repr(self) -> str:
        return f"p={self._cut}/{LEVELS}"
