"""Gradient difference: ascend on the forget examples, descend on the retain examples, in one step."""

from __future__ import annotations

from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import Needs, method


@method("ga_diff", Needs(retain_examples=True))
def ga_diff(forget: Scores, retain: Scores) -> Tensor:
    """``- L(D_f) + L(D_r)`` (VL-Eraser supplement 8.3, GA_Diff)."""
    return retain.nll() - forget.nll()
