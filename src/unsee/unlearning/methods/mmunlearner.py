"""MMUnlearner: gradient difference whose ascent moves only weights that matter more to forget than to retain examples."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from peft import LoraConfig, get_peft_model
from peft.utils.constants import DUMMY_TARGET_MODULES
from torch import Tensor, nn

from unsee.core.files import atomic_write
from unsee.models.families.base import Scope
from unsee.models.half import HalfLinear
from unsee.models.likelihood import Scores
from unsee.models.model import VisionLanguageModel
from unsee.training.batches import Step
from unsee.training.lora import add_lora
from unsee.unlearning.method import Context, MethodState, Needs, method
from unsee.unlearning.saliency import saliency

log = logging.getLogger(__name__)

#: Keeps the ratio of two vanishing saliencies at 1; the official code's constant.
EPSILON = 1e-15


class MaskError(RuntimeError):
    """The saliency mask is all true or all false, so that it does not select."""


@method(
    "mmunlearner",
    Needs(
        retain_examples=True,
        unread={
            "lora.rank": {"parameters": "full"},
            "lora.alpha": {"parameters": "full"},
            "lora.dropout": {"parameters": "full"},
        },
    ),
    label="MMUnlearner",
    colour="#D55E00",
    marker="P",
    paper="https://arxiv.org/abs/2502.11051",
)
def mmunlearner(
    forget: Scores,
    retain: Scores,
    state: State,
    *,
    threshold: Annotated[float, "> 0"] = 1.0,
    parameters: Literal["adapter", "full"] = "adapter",
) -> Tensor:
    """A loss with the gradient ``- m * grad L(D_f) + grad L(D_r)`` (Huo et al., ACL 2025 Findings; VL-Eraser supplement, 8.3).

    Gradient difference that spares the weights on which the retained knowledge depends. The boolean mask m is true where
    a weight's saliency on the forget examples is at least ``threshold`` times that on the retain examples.
    The masked ascent enters the loss as the product of the weights with their constant gradient, so that the optimizer
    state of weights outside the mask never depends on the forget examples.

    Args:
        forget: Scores of the forget examples under the model being unlearned.
        retain: Scores of the retain examples under the same model.
        state: The trained weights and their masks.
        threshold: The smallest ratio of saliencies at which a weight may move, usually 1.
        parameters: What is trained and masked, in the modules of ``lora.scope``: ``adapter``, a low-rank adapter, or
            ``full``, a copy of the weights.
    """
    ascent = -forget.nll()
    if not ascent.requires_grad:  # there are no forget examples, or none depends on the trained weights
        return retain.nll() + ascent
    gradients = torch.autograd.grad(ascent, state.weights, allow_unused=True, materialize_grads=True)
    product = torch.stack(
        [(w * (m * g)).sum() for w, m, g in zip(state.weights, state.masks, gradients, strict=True)]
    ).sum()
    return retain.nll() + product - product.detach() + ascent.detach()


@dataclass
class State(MethodState):
    """The trained weights, and for each a boolean mask of its shape: where the forget examples may move it."""

    weights: list[nn.Parameter]
    masks: list[Tensor]

    def restrict(self, step: Step) -> list[Tensor] | None:
        """Return the masks for a step without retain examples.

        There it is not enough to mask the gradient, because the optimizer's momentum would move weights outside.
        """
        return None if step.get("retain") else self.masks


def prepare(context: Context, *, threshold: float, parameters: Literal["adapter", "full"]) -> State:
    """Put an adapter, or copies of the weights, on the modules of ``lora.scope``, and find the masks.

    Raises:
        MaskError: The mask selects no weight, or every weight.
    """
    vlm = context.vlm
    if parameters == "full":
        _add_copies(vlm, context.settings.lora.scope)
    else:
        add_lora(vlm, context.settings.lora, context.seed)
    named = [(name, weight) for name, weight in vlm.model.named_parameters() if weight.requires_grad]
    weights = [weight for _, weight in named]
    forget = saliency(context, context.groups["forget"], weights)
    # The official code uses the evaluation's questions here; training must not see them.
    preserve = saliency(context, context.groups["retain"], weights)
    masks = [mask(f, p, threshold) for f, p in zip(forget, preserve, strict=True)]
    rows = [{"weight": name, "selected": float(m.float().mean())} for (name, _), m in zip(named, masks, strict=True)]
    with atomic_write(context.output / "mask.parquet") as part:
        pq.write_table(pa.Table.from_pylist(rows), part)
    selected = sum(int(m.sum()) for m in masks) / sum(m.numel() for m in masks)
    log.info("mask: %.4f of the trained weights may move on the forget examples", selected)
    if selected in (0.0, 1.0):
        raise MaskError(
            f"mmunlearner: the mask selects {selected:.0%} of the weights, expected some and not all; change threshold (now {threshold})"
        )
    return State(weights, masks)


def _add_copies(vlm: VisionLanguageModel, scope: Scope) -> None:
    """Put a trainable copy beside each linear module of a scope; PEFT saves the copies whole."""
    pattern = re.compile(vlm.family.linear_pattern(scope))
    names = [name for name, _ in vlm.base.named_modules() if pattern.fullmatch(name)]
    for module in map(vlm.base.get_submodule, names):
        if isinstance(module, HalfLinear):  # steps of training would be lost in half precision
            module.widen()
    vlm.model = get_peft_model(vlm.base, LoraConfig(target_modules=DUMMY_TARGET_MODULES, modules_to_save=names))


def mask(forget: Tensor, preserve: Tensor, threshold: float) -> Tensor:
    """True where ``(F_forget + eps) / (F_preserve + eps) >= threshold``, in float32."""
    return (forget.float() + EPSILON) / (preserve.float() + EPSILON) >= threshold
