"""Gradient difference: ascend on the forget examples and descend on the retain examples, in one step."""

from __future__ import annotations

from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import Needs, method


@method(
    "ga_diff",
    Needs(retain_examples=True),
    label="GA_Diff",
    colour="#56B4E9",
    marker="D",
    paper="https://arxiv.org/abs/2401.06121",
)
def ga_diff(forget: Scores, retain: Scores) -> Tensor:
    """``- L(D_f) + L(D_r)`` (TOFU's gradient difference; VL-Eraser supplement, section 8.3).

    Gradient ascent, held back by training on as many examples about the people to keep.

    Args:
        forget: Scores of the forget examples under the model being unlearned.
        retain: Scores of the retain examples under the same model.
    """
    return retain.nll() - forget.nll()
