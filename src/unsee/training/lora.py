"""Put LoRA adapters on a model and save them; on a CPU, PEFT's low-rank layer as a single autograd function.

The matrix products of an adapter are narrow (rank 8 against a width of hundreds), and a BLAS may take ten times as long
for such a product as for its transpose. PEFT does not choose between the two; here each product is written the fast
way. The adapter's part is added to the frozen layer's output in place, and only the layer's input and the dropout mask
are kept for the backward pass.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners import lora
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

from unsee.core.files import atomic_write
from unsee.models.model import VisionLanguageModel
from unsee.training import processes
from unsee.training.dropout import ByteDropout
from unsee.training.settings import LoraSettings


def add_lora(model: VisionLanguageModel, settings: LoraSettings, seed: int) -> VisionLanguageModel:
    """Put a fresh adapter on the model; the model's outputs stay the same until it is trained.

    Raises:
        ValueError: The scope matches no module.
    """
    set_seed(seed)
    model.model = put_adapter(model.base, lora_config(settings, model.family.linear_pattern(settings.scope)))
    return model


def lora_config(settings: LoraSettings, target_modules: str) -> LoraConfig:
    """PEFT's configuration of an adapter on the modules whose names match a pattern."""
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=target_modules,
        bias="none",
    )


def put_adapter(model: PreTrainedModel, config: LoraConfig, *, hooked: bool = False) -> PeftModel:
    """``get_peft_model``, with faster layers on a CPU.

    Args:
        model: The base model.
        config: The adapter's configuration.
        hooked: Whether the caller puts hooks on the adapter's matrices, which must then be called one by one.
    """
    on_cpu = next(model.parameters()).device.type == "cpu"
    if on_cpu and not hooked:
        config._register_custom_module({nn.Linear: LoraLinear})
    adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    if on_cpu:
        for module in adapted.modules():
            if isinstance(module, lora.LoraLayer):
                module.lora_dropout["default"] = ByteDropout(config.lora_dropout)
    return adapted


def save_adapter(model: VisionLanguageModel, directory: Path) -> None:
    """Save the whole adapter as PEFT does, without anything that names this machine."""
    assert isinstance(model.model, PeftModel)
    for config in model.model.peft_config.values():
        config.inference_mode = True
    with atomic_write(directory) as part:
        model.model.save_pretrained(
            str(part), safe_serialization=True, state_dict=processes.gathered_state(model.model)
        )
        (part / "README.md").unlink(missing_ok=True)
        # PEFT writes the path of the base model.
        path = part / "adapter_config.json"
        content = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": None}
        path.write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")


class LoraLinear(lora.Linear):
    """PEFT's layer, with a fast path for the usual case: training, one adapter, one dtype."""

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
    """``x W' + b + s (x * mask) A' B'`` for rows x; W and b are frozen."""

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
