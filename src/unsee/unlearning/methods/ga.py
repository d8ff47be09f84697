"""Gradient ascent: make the forgotten answers unlikely, and nothing else."""

from __future__ import annotations

from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import method


@method("ga", label="GA", colour="#E69F00", marker="o", paper="https://arxiv.org/abs/2210.01504")
def ga(forget: Scores) -> Tensor:
    """``- L(D_f)`` (Jang et al., 2022; VL-Eraser supplement, section 8.3).

    Training in reverse: each step makes the answers about the forgotten people less likely. Nothing bounds the loss,
    so that the learning rate and the number of steps alone decide how much else is lost.

    Args:
        forget: Scores of the forget examples under the model being unlearned.
    """
    return -forget.nll()
