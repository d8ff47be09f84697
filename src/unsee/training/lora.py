"""PEFT's low-rank layer as one step of autograd, for training on a CPU.

The products of an adapter are narrow (a rank of 8 against a width of hundreds), and BLAS may take ten times as long for one as for its
transpose. PEFT leaves to chance which of the two it asks for; here each is written the quick way around. The adapter's part is added to
the frozen layer's output in place, and of the activations only the layer's input and dropout's mask are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners import lora
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

from unsee.training.dropout import ByteDropout


def put_adapter(model: PreTrainedModel, config: LoraConfig, *, watched: bool = False) -> PeftModel:
    """``get_peft_model``, with what is quicker on a CPU there.

    Args:
        model: the base model.
        config: of the adapter.
        watched: somebody hooks on to the adapter's matrices, which must then be called one by one.
    """
    on_cpu = next(model.parameters()).device.type == "cpu"
    if on_cpu and not watched:
        config._register_custom_module({nn.Linear: LoraLinear})
    adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    if on_cpu:
        for module in adapted.modules():
            if isinstance(module, lora.LoraLayer):
                module.lora_dropout["default"] = ByteDropout(config.lora_dropout)
    return adapted


class LoraLinear(lora.Linear):
    """PEFT's layer, with a quick way where nothing is special: one adapter, in training, all of one type."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        name = "default"
        plain = self.training and not (args or kwargs or self.disable_adapters or self.merged)
        dropout = self.lora_dropout[name]
        if plain and self.active_adapters == [name] and isinstance(dropout, ByteDropout):
            base = self.get_base_layer()
            down, up = self.lora_A[name].weight, self.lora_B[name].weight
            if x.dtype == base.weight.dtype == down.dtype == up.dtype:
                apply: Callable[..., Tensor] = _Adapted.apply
                return apply(x, dropout.mask(x), base.weight, base.bias, down, up, self.scaling[name])
        return super().forward(x, *args, **kwargs)


class _Adapted(torch.autograd.Function):
    """x W' + b + s (x * mask) A' B' for rows x, W and b frozen."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        mask: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scaling: float,
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        kept = rows if mask is None else rows * mask.view(rows.shape)
        low = down @ kept.T  # (rank, n)
        out = rows @ weight.T if bias is None else torch.addmm(bias, rows, weight.T)
        out.addmm_(low.T, up.T, alpha=scaling)
        ctx.save_for_backward(rows, mask, weight, down, up, low)
        ctx.scaling, ctx.shape = scaling, x.shape
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, mask, weight, down, up, low = ctx.saved_tensors
        mask = None if mask is None else mask.view(rows.shape)
        out = gradient.reshape(-1, gradient.shape[-1])
        back = (up.T @ out.T).mul_(ctx.scaling)  # (rank, n)
        to_down = back @ (rows if mask is None else rows * mask)
        to_up = (low @ out).mul_(ctx.scaling).T
        to_input = None
        if ctx.needs_input_grad[0]:
            to_input = out @ weight
            if mask is None:
                to_input.addmm_(back.T, down)
            else:
                to_input.addcmul_(back.T @ down, mask)
            to_input = to_input.view(ctx.shape)
        return to_input, None, None, None, to_down, to_up, None
