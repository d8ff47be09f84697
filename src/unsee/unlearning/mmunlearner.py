"""MMUnlearner: gradient difference whose ascent touches only the weights that matter more for the forgotten than for the rest."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from peft.utils.constants import DUMMY_TARGET_MODULES
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from unsee.core.files import atomic_write
from unsee.models.families.base import Scope
from unsee.models.half import HalfLinear
from unsee.models.likelihood import Scores, score
from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Batch
from unsee.training.batches import Step, Unit, batch
from unsee.training.loop import gradient_checkpointing
from unsee.training.lora import add_lora
from unsee.unlearning.method import Context, Needs, method

log = logging.getLogger(__name__)

#: Keeps the ratio of two vanishing saliencies at 1 (Fisher information in float32, the official code's constant).
EPSILON = 1e-15


class MaskError(RuntimeError):
    """The saliency mask is all true or all false: it selects nothing."""


@method("mmunlearner", Needs(retain_examples=True))
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

    def begin(self, batch: Batch, n_in_step: int) -> None:
        """Nothing to do before a forward pass."""

    def restrict(self, step: Step) -> list[Tensor] | None:
        """Where a step may move the weights: inside the masks when it is about the forget examples alone.

        There a mask of the gradient is not enough: the optimizer's momentum would go on moving what is outside.
        """
        return None if step.get("retain") else self.masks


def prepare(context: Context, *, threshold: float, parameters: Literal["adapter", "full"]) -> State:
    """Make weights of the model trainable, where ``lora.scope`` says, and find their mask; the model is still vanilla then.

    Raises:
        MaskError: the mask selects nothing, or everything.
    """
    vlm = context.vlm
    if parameters == "full":
        _add_copies(vlm, context.settings.lora.scope)
    else:
        add_lora(vlm, context.settings.lora, context.seed)
    named = [(name, weight) for name, weight in vlm.model.named_parameters() if weight.requires_grad]
    weights = [weight for _, weight in named]
    forget = saliency(context, context.groups["forget"], weights)
    # Training questions only, with and without pictures: the evaluation's own are never looked at.
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

    The model that is measured is vanilla: the trained weights change nothing yet, and are switched off here. What their gradients
    would be follows from the input x of the layer they are on and the gradient g that comes back to its output, rows being tokens:
    ``g' x`` for a copy of the layer's weight, ``s g' (x A')`` for B. A's own is zero while B is; in the place of B in
    ``s (g B)' x`` stands a random matrix, a direction to probe A in. It multiplies A's saliency on both sets alike, so
    that the ratio does not depend on its size.

    The backward pass hands g to each layer in turn, which squares and forgets it; with ``gradient_checkpointing`` x is not kept either, but
    computed again. As many examples at once as a part of a training step has of both groups, where every trained weight is in
    the decoder, whose rows are examples; one at a time where the tower's are among them.
    """
    vlm, settings = context.vlm, context.settings
    vlm.model.eval()  # dropout would add its own noise to the gradients
    total = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
    examples = [Unit(unit.key, (request,)) for unit in units for request in unit.requests]
    inside = {id(weight) for weight in vlm.family.language_model(vlm.base).parameters()}
    together = all(id(weight) in inside for weight in weights)
    parts = settings.gradient_accumulation * settings.num_processes
    size = 2 * max(1, settings.batch_size // parts) if together else 1
    adding = _squares_into({id(weight): sum_ for weight, sum_ in zip(weights, total, strict=True)}, vlm, context.seed)
    context.pictures.freeze_training_state()  # the tower's features are encoded anew where it is trained, though its adapter is off
    checkpointing = gradient_checkpointing(vlm) if settings.gradient_checkpointing else nullcontext()
    assert isinstance(vlm.model, PeftModel)
    with vlm.model.disable_adapter(), checkpointing, _Taps(adding, vlm.device, by_row=together) as taps:
        for start in range(0, len(examples), size):
            scores = score(vlm, batch(vlm, examples[start : start + size]), context.pictures)
            # No example has a part in another's row, so the gradient of the sum is each row's own.
            taps.backward(-scores.sequence_mean().sum())
            context.counters.forward_passes += 1
            context.counters.backward_passes += 1
    return [sum_.div_(len(examples)) for sum_ in total]


#: Adds the squares of a layer's gradients: of its input x and the gradient g at its output, (tokens, width) both, of one example.
Adding = Callable[[Tensor, Tensor], None]


def _squares_into(total: Mapping[int, Tensor], vlm: VisionLanguageModel, seed: int) -> dict[nn.Module, Adding]:
    """For each layer with trained weights, what adds their squared gradients to the totals.

    Args:
        total: by the weight's identity, of its shape.
        vlm: with the weights on it.
        seed: of the random matrices in the place of B.
    """
    random = torch.Generator().manual_seed(seed)
    found: dict[nn.Module, Adding] = {}
    for module in vlm.base.modules():
        layer: Any = module
        if isinstance(module, LoraLayer):
            down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            probe = torch.randn(up.shape, generator=random).to(up.device)
            found[layer] = _low_rank(down, probe, layer.scaling["default"], total[id(down)], total[id(up)])
        elif isinstance(module, ModulesToSaveWrapper):
            weights = layer.modules_to_save["default"]
            found[layer] = _whole(*(None if w is None else total[id(w)] for w in (weights.weight, weights.bias)))
    return found


def _low_rank(down: Tensor, probe: Tensor, scaling: float, to_down: Tensor, to_up: Tensor) -> Adding:
    def add(x: Tensor, g: Tensor) -> None:
        to_down.add_((g @ probe).T.mul_(scaling).mm(x).square_())
        to_up.add_(g.T.mm(x @ down.T).mul_(scaling).square_())

    return add


def _whole(to_weight: Tensor | None, to_bias: Tensor | None) -> Adding:
    def add(x: Tensor, g: Tensor) -> None:
        if to_weight is not None:
            to_weight.add_(g.T.mm(x).square_())
        if to_bias is not None:
            to_bias.add_(g.sum(0).square_())

    return add


class _Taps:
    """Hooks that hand a layer's input, and the gradient at its output, to a function in the backward pass.

    Args:
        adding: the function of each layer.
        device: of the model.
        by_row: whether the rows of a batch are examples; else a pass is of one example.
    """

    def __init__(self, adding: Mapping[nn.Module, Adding], device: torch.device, *, by_row: bool) -> None:
        self._adding, self._by_row = adding, by_row
        # A leaf that every layer's output hangs on: its gradient is zero, but to find it the backward pass goes by every layer.
        self._source = torch.zeros((), device=device, requires_grad=True)
        self._hooks: list[Any] = []
        self._done: set[nn.Module] = set()

    def __enter__(self) -> _Taps:
        self._hooks = [layer.register_forward_hook(self._tap) for layer in self._adding]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def backward(self, loss: Tensor) -> None:
        """Go back through the last forward pass."""
        self._done.clear()
        if loss.requires_grad:  # words alone have no part in the tower
            torch.autograd.grad(loss, self._source)

    def _tap(self, layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        tapped: Tensor = _Tap.apply(output, self._source, arguments[0], partial(self._take, layer))  # type: ignore[no-untyped-call]
        return tapped

    def _take(self, layer: nn.Module, x: Tensor, g: Tensor) -> None:
        if layer in self._done:
            raise RuntimeError(
                f"{layer} runs twice in a pass: the square of its gradient is not the sum of two squares"
            )
        self._done.add(layer)
        if not self._by_row:
            x, g = x.reshape(1, -1, x.shape[-1]), g.reshape(1, -1, g.shape[-1])
        for row, gradient in zip(x, g, strict=True):
            self._adding[layer](row, gradient)


class _Tap(torch.autograd.Function):
    """The output as it is. The input is saved as autograd saves it, so that checkpointing drops it and computes it again."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, source: Tensor, x: Tensor, take: Callable[[Tensor, Tensor], None]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.take = take
        return output.view_as(output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        ctx.take(x, gradient)
        return gradient, gradient.new_zeros(()), None, None
