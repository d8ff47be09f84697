"""The saliency of trained weights: the mean over examples of the squared gradient of an example's loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from unsee.models.likelihood import score
from unsee.models.model import VisionLanguageModel
from unsee.training.batches import Unit, batch
from unsee.training.loop import gradient_checkpointing
from unsee.unlearning.method import Context


def saliency(context: Context, units: Sequence[Unit], weights: Sequence[nn.Parameter]) -> list[Tensor]:
    """Average the squared gradient of an example's negative log-likelihood over examples.

    The model measured is vanilla: the adapter does not change its outputs yet, and is switched off here. The gradient of
    each weight follows from the input x of its layer and the gradient g at the layer's output (rows are tokens):
    ``g' x`` for a copy of the layer's weight, ``s g' (x A')`` for B. The gradient of A, ``s (g B)' x``, is zero while B
    is, so that a random matrix replaces B. It scales A's saliency on both sets alike, and their ratio does not depend
    on its size.

    The backward pass gives g to one layer after the other, which adds its squares and drops it. With
    ``gradient_checkpointing`` x is recomputed instead of kept. If all trained weights are in the decoder, where each row
    of a batch is an example, a pass has as many examples as a part of a training step has of both groups; else one.

    Args:
        context: Gives the model, the pictures, the batch size and the seed of the random matrices.
        units: The examples.
        weights: The trained weights.

    Returns:
        One float32 tensor per weight, of its shape.
    """
    vlm, settings = context.vlm, context.settings
    vlm.model.eval()  # without the noise of dropout
    total = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
    examples = [Unit(unit.key, (request,)) for unit in units for request in unit.requests]
    inside = {id(weight) for weight in vlm.family.language_model(vlm.base).parameters()}
    together = all(id(weight) in inside for weight in weights)
    parts = settings.gradient_accumulation * settings.num_processes
    size = 2 * max(1, settings.batch_size // parts) if together else 1
    adding = _squares_into({id(weight): sum_ for weight, sum_ in zip(weights, total, strict=True)}, vlm, context.seed)
    context.pictures.freeze_training_state()  # with the adapter off, a trained tower would look frozen
    checkpointing = gradient_checkpointing(vlm) if settings.gradient_checkpointing else nullcontext()
    assert isinstance(vlm.model, PeftModel)
    with vlm.model.disable_adapter(), checkpointing, _Taps(adding, vlm.device, by_row=together) as taps:
        for start in range(0, len(examples), size):
            scores = score(vlm, batch(vlm, examples[start : start + size]), context.pictures)
            # A row of the gradient of the sum is the gradient of that row's example, because rows do not mix.
            taps.backward(-scores.sequence_mean().sum())
            context.counters.forward_passes += 1
            context.counters.backward_passes += 1
    return [sum_.div_(len(examples)) for sum_ in total]


#: Adds the squared gradients of a layer's weights for one example. Arguments: the layer's input x and the gradient g at
#: its output, both (tokens, width).
Adding = Callable[[Tensor, Tensor], None]


def _squares_into(total: Mapping[int, Tensor], vlm: VisionLanguageModel, seed: int) -> dict[nn.Module, Adding]:
    """For each layer with trained weights, return the function that adds their squared gradients to the totals.

    Args:
        total: The total of each weight, by the weight's ``id``.
        vlm: The model with the trained weights.
        seed: Seeds the random matrices that replace B.
    """
    random = torch.Generator().manual_seed(seed)
    functions: dict[nn.Module, Adding] = {}
    for module in vlm.base.modules():
        layer: Any = module
        if isinstance(module, LoraLayer):
            down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            probe = torch.randn(up.shape, generator=random).to(up.device)
            functions[layer] = _low_rank(down, probe, layer.scaling["default"], total[id(down)], total[id(up)])
        elif isinstance(module, ModulesToSaveWrapper):
            weights = layer.modules_to_save["default"]
            functions[layer] = _whole(*(None if w is None else total[id(w)] for w in (weights.weight, weights.bias)))
    return functions


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
    """Hooks that pass a layer's input, and the gradient at its output, to a function in the backward pass.

    Args:
        adding: The function of each layer.
        device: The device of the model.
        by_row: Whether each row of a batch is an example; else a pass has one example.
    """

    def __init__(self, adding: Mapping[nn.Module, Adding], device: torch.device, *, by_row: bool) -> None:
        self._adding, self._by_row = adding, by_row
        # Every layer's output depends on this leaf, so that asking for its gradient (zero) visits every layer.
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
        """Run the backward pass of the last forward pass."""
        self._done.clear()
        if loss.requires_grad:  # the loss of words alone does not depend on the tower
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
    """The identity. It saves the layer's input through autograd, so that checkpointing drops and recomputes it."""

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
