"""MMUnlearner: gradient difference whose ascent touches only the weights that matter more for the forgotten than for the rest."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from peft import LoraConfig, get_peft_model
from peft.utils.constants import DUMMY_TARGET_MODULES
from torch import Tensor, nn

from unsee.files import written
from unsee.models.family import Scope
from unsee.models.half import HalfLinear
from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Batch
from unsee.training.loop import Step, add_lora
from unsee.training.pairs import Unit, batch
from unsee.training.scores import Scores, score
from unsee.unlearning.method import Context, Needs, method

log = logging.getLogger(__name__)

#: Keeps the ratio of two vanishing saliencies at 1 (Fisher information in float32, the official code's constant).
EPSILON = 1e-15
#: Standard deviation of a fresh B. With PEFT's zero, A has no gradient, and so no saliency.
FRESH = 0.02


class MaskError(RuntimeError):
    """The saliency mask is all true or all false: it selects nothing."""


@method("mmunlearner", Needs(retain=True))
def mmunlearner(
    forget: Scores,
    retain: Scores,
    state: State,
    *,
    threshold: Annotated[float, "> 0"] = 1.0,
    parameters: Literal["adapter", "full"] = "adapter",
) -> Tensor:
    """A loss whose gradient is ``- m * grad L(D_f) + grad L(D_r)`` (VL-Eraser supplement 8.3, MMUnlearner; ACL 2025 Findings).

    The masked ascent is added as a product of the weights with their constant gradient, so no optimizer state outside
    the mask ever sees the forget examples.

    Args:
        forget, retain: of the model being unlearned.
        state: the trained weights and their masks.
        threshold: how many times more salient for the forgotten a weight must be.
        parameters: what is trained and masked, where ``lora.scope`` says: a low-rank adapter, or a copy of the weights.
    """
    ascent = -forget.nll()
    if not ascent.requires_grad:  # no examples, or none that the trained weights have a part in
        return retain.nll() + ascent
    gradients = torch.autograd.grad(ascent, state.weights, allow_unused=True, materialize_grads=True)
    product = torch.stack(
        [(w * (m * g)).sum() for w, m, g in zip(state.weights, state.masks, gradients, strict=True)]
    ).sum()
    return retain.nll() + product - product.detach() + ascent.detach()


@dataclass
class State:
    """The trained weights, and for each a boolean mask of its shape: where the forget examples may move it."""

    weights: list[nn.Parameter]
    masks: list[Tensor]

    def begin(self, batch: Batch) -> None:
        """Nothing to do before a forward pass."""

    def restrict(self, step: Step) -> list[Tensor] | None:
        """Where a step may move the weights: inside the masks when it is about the forget examples alone.

        There a mask of the gradient is not enough: the optimizer's momentum would go on moving what is outside.
        """
        return None if step.get("retain") else self.masks


def prepare(context: Context, *, threshold: float, parameters: Literal["adapter", "full"]) -> State:
    """Make weights of the model trainable, where ``lora.scope`` says, and find their mask.

    Raises:
        MaskError: the mask selects nothing, or everything.
    """
    vlm = context.vlm
    if parameters == "full":
        _add_copies(vlm, context.settings.lora.scope)
    else:
        add_lora(vlm, context.settings.lora, context.seed)
    named = [(name, weight) for name, weight in vlm.model.named_parameters() if weight.requires_grad]
    for name, weight in named:
        if "lora_B" in name:
            nn.init.normal_(weight, std=FRESH)
    weights = [weight for _, weight in named]
    forget = saliency(context, context.groups["forget"], weights)
    # Training questions only, with and without pictures: the evaluation's own are never looked at.
    preserve = saliency(context, context.groups["retain"], weights)
    masks = [mask(f, p, threshold) for f, p in zip(forget, preserve, strict=True)]
    rows = [{"weight": name, "selected": float(m.float().mean())} for (name, _), m in zip(named, masks, strict=True)]
    with written(context.output / "mask.parquet") as part:
        pq.write_table(pa.Table.from_pylist(rows), part)
    selected = sum(int(m.sum()) for m in masks) / sum(m.numel() for m in masks)
    log.info("mask: %.4f of the trained weights may move on the forget examples", selected)
    if selected in (0.0, 1.0):
        raise MaskError(
            f"mmunlearner: the mask selects {selected:.0%} of the weights, expected some and not all; change threshold (now {threshold})"
        )
    return State(weights, masks)


def _add_copies(vlm: VisionLanguageModel, scope: Scope) -> None:
    """Put trainable copies beside the linear modules of a scope; PEFT stores them whole, as an adapter without low ranks."""
    pattern = re.compile(vlm.family.linear_pattern(scope))
    names = [name for name, _ in vlm.base.named_modules() if pattern.fullmatch(name)]
    for module in map(vlm.base.get_submodule, names):
        if isinstance(module, HalfLinear):  # half precision could not hold the steps of training
            module.widen()
    vlm.model = get_peft_model(vlm.base, LoraConfig(target_modules=DUMMY_TARGET_MODULES, modules_to_save=names))


def mask(forget: Tensor, preserve: Tensor, threshold: float) -> Tensor:
    """Where ``(F_forget + eps) / (F_preserve + eps) >= threshold``, in float32."""
    return (forget.float() + EPSILON) / (preserve.float() + EPSILON) >= threshold


def saliency(context: Context, units: Sequence[Unit], weights: Sequence[nn.Parameter]) -> list[Tensor]:
    """Mean over examples of the squared gradient of an example's NLL, float32, one tensor a weight.

    As many examples at once as a part of a training step has of both groups, where every weight is a linear's in the decoder, whose
    rows are examples; one at a time where the tower's are among them.
    """
    vlm = context.vlm
    vlm.model.eval()  # dropout would add its own noise to the gradients
    total = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
    examples = [Unit(unit.key, (request,)) for unit in units for request in unit.requests]
    inside = {id(weight) for weight in vlm.family.language_model(vlm.base).parameters()}
    linears = {id(weight): m for m in vlm.base.modules() if isinstance(m, nn.Linear) for weight in m.parameters()}
    together = all(id(weight) in inside and id(weight) in linears for weight in weights)
    settings = context.settings
    size = 2 * max(1, settings.batch_size // settings.gradient_accumulation) if together else 1
    for start in range(0, len(examples), size):
        chosen = batch(vlm, examples[start : start + size])
        if together:
            _add_squares_by_row(context, chosen, linears, weights, total)
        else:
            _add_squares(context, chosen, weights, total)
        context.counters.forward_passes += 1
        context.counters.backward_passes += 1
    return [sum_ / len(examples) for sum_ in total]


def _add_squares(context: Context, example: Batch, weights: Sequence[nn.Parameter], total: Sequence[Tensor]) -> None:
    """Add the squared gradient of one example."""
    loss = score(context.vlm, example, context.pictures).nll()
    if not loss.requires_grad:  # words alone, and the tower's weights
        return
    gradients = torch.autograd.grad(loss, list(weights), allow_unused=True, materialize_grads=True)
    for sum_, gradient in zip(total, gradients, strict=True):
        sum_ += gradient.float() ** 2


def _add_squares_by_row(
    context: Context,
    examples: Batch,
    linears: Mapping[int, nn.Linear],
    weights: Sequence[nn.Parameter],
    total: Sequence[Tensor],
) -> None:
    """Add the squared gradients of several examples, a row each, from what goes into a linear and what comes back to it."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def watch(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        seen[module] = (arguments[0].detach(), output)

    hooks = [module.register_forward_hook(watch) for module in {linears[id(weight)] for weight in weights}]
    try:
        scores = score(context.vlm, examples, context.pictures)
    finally:
        for hook in hooks:
            hook.remove()
    # No example has a part in another's row, so the gradient of the sum is each row's own.
    gradients = torch.autograd.grad(-scores.sequence_mean().sum(), [output for _, output in seen.values()])
    back = dict(zip(seen, gradients, strict=True))
    for sum_, weight in zip(total, weights, strict=True):
        module = linears[id(weight)]
        rows = back[module].mT @ seen[module][0] if weight.dim() == 2 else back[module].sum(1)
        sum_ += rows.float().square_().sum(0)
