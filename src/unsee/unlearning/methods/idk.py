"""Preference optimisation by refusals: answer the forgotten questions with "I do not know", and keep the other answers."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import Needs, method


@method(
    "idk",
    Needs(retain_examples=True, retain_weight="alpha", alternative="instead"),
    label="IDK (PO)",
    colour="#CCCC99",
    marker="2",
    paper="https://arxiv.org/abs/2401.06121",
)
def idk(alternative: Scores, retain: Scores, *, alpha: Annotated[float, ">= 0"] = 1.0) -> Tensor:
    """``L(D_idk) + alpha L(D_r)`` (TOFU's preference optimisation, Maini et al., 2024, section 4.2).

    Ordinary fine-tuning on new answers: the model learns to say that it does not know. Nothing lowers the probability of
    the true answer itself.

    Args:
        alternative: Scores of refusals as the answers to the forget questions, under the model being unlearned.
        retain: Scores of the retain examples under the same model.
        alpha: The weight of the retain examples, usually 1 (TOFU).
    """
    return alternative.nll() + alpha * retain.nll()
