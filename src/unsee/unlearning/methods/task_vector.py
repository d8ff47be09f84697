"""Task vector: learn an adapter on the people to forget, then subtract it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.training.lora import add_lora
from unsee.unlearning.method import Context, MethodState, method


@method(
    "task_vector",
    label="Task vector",
    colour="#117733",
    marker="1",
    paper="https://arxiv.org/abs/2212.04089",
)
def task_vector(forget: Scores, *, scale: Annotated[float, "> 0"] = 1.0) -> Tensor:
    """``L(D_f)`` while the adapter is trained; the result is ``W - scale * s B A`` (Ilharco et al., ICLR 2023, negation).

    What fine-tuning on some data adds to the weights is taken to be a direction of that data; the opposite direction
    should unlearn it. s is the adapter's ``alpha / rank``.

    Args:
        forget: Scores of the forget examples under the model with the adapter added.
        scale: How many times the adapter is subtracted, usually 0.25 to 2.
    """
    return forget.nll()


@dataclass
class State(MethodState):
    """How many times the adapter is subtracted."""

    scale: float


def prepare(context: Context, *, scale: float) -> State:
    """Put an ordinary adapter on the model."""
    add_lora(context.vlm, context.settings.lora, context.seed)
    return State(scale)


@torch.no_grad()
def finish(context: Context, state: State) -> None:
    """Turn the adapter into its subtraction: B becomes - scale B."""
    layers: list[Any] = [module for module in context.vlm.base.modules() if hasattr(module, "lora_B")]
    for layer in layers:
        layer.lora_B["default"].weight.mul_(-state.scale)
