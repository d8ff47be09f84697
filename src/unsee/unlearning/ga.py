"""Gradient ascent: make the forgotten answers unlikely, and nothing else."""

from __future__ import annotations

from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import method


@method("ga")
def ga(forget: Scores) -> Tensor:
    """``- mean_{D_f} NLL``; unbounded below (VL-Eraser supplement 8.3, GA)."""
    return -forget.nll()
