"""Store weights in half precision and compute in float32.

Unlearning at a published learning rate changes weights and activations by less than the spacing of bfloat16 numbers. A model that
computes in half precision rounds most of the update away (docs/precision.md has the numbers). Here ``model.dtype`` only decides how the
base model's large matrices are stored. Every product is computed in float32, and adapters are kept beside a matrix, never added to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

#: Elements of a matrix that are converted to float32 at a time (256 MB).
PIECE = 2**26


class HalfLinear(nn.Linear):
    """A frozen linear layer: ``(x G) W' H + b + (x D') U'`` for float32 rows x.

    Attributes:
        weight: W, (out, in), in half precision.
        bias: b, (out,), float32, or ``None``.
        down, up: D, (rank, in), and U, (out, rank), float32: the sum of all updates from :meth:`add`; ``None`` before the first.
        input_gate, output_gate: The diagonals of G, (in,), and H, (out,), float32: the product of all factors from :meth:`gate`;
            ``None`` before the first.
    """

    down: nn.Parameter | None
    up: nn.Parameter | None
    input_gate: nn.Parameter | None
    output_gate: nn.Parameter | None

    @classmethod
    def convert(cls, layer: nn.Linear) -> None:
        """Convert a linear layer in place: it keeps its stored weight and computes in float32."""
        layer.__class__ = cls
        for name in ("down", "up", "input_gate", "output_gate"):
            layer.register_parameter(name, None)

    @torch.no_grad()
    def add(self, down: Tensor, up: Tensor) -> None:
        """Add the update ``up @ down`` to the layer's output; the stored weight does not change.

        Args:
            down, up: (rank, in) and (out, rank); any scaling is part of ``up``.
        """
        device = self.weight.device
        down, up = down.detach().to(device, torch.float32), up.detach().to(device, torch.float32)
        if self.down is not None and self.up is not None:
            down, up = torch.cat([self.down, down]), torch.cat([self.up, up], dim=1)
        self.down = nn.Parameter(down.contiguous(), requires_grad=False)
        self.up = nn.Parameter(up.contiguous(), requires_grad=False)

    @torch.no_grad()
    def gate(self, side: Literal["input", "output"], factors: Tensor) -> None:
        """Multiply the inputs or the outputs; the stored weight does not change.

        Factors apply to the layer's weight, its bias and the updates so far, but not to updates that are added later.

        Args:
            side: Which of the two the factors multiply.
            factors: (in,) or (out,), float32.
        """
        old = self.input_gate if side == "input" else self.output_gate
        product = nn.Parameter(factors.clone() if old is None else old * factors, requires_grad=False)
        if side == "input":
            self.input_gate = product
            if self.down is not None:
                # Not in place: whoever added the update may still hold its matrices.
                self.down = nn.Parameter(self.down * factors, requires_grad=False)
            return
        self.output_gate = product
        if self.up is not None:
            self.up = nn.Parameter(self.up * factors[:, None], requires_grad=False)
        if self.bias is not None:
            self.bias.mul_(factors)

    @torch.no_grad()
    def widen(self) -> None:
        """Convert to an ordinary float32 layer in place, with all updates in its weight, so that the whole weight can be trained."""
        weight = self.weight.float()
        if self.input_gate is not None:
            weight *= self.input_gate
        if self.output_gate is not None:
            weight *= self.output_gate[:, None]
        if self.down is not None and self.up is not None:
            weight.addmm_(self.up, self.down)
        del self.down, self.up, self.input_gate, self.output_gate
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.__class__ = nn.Linear  # type: ignore[assignment]

    def forward(self, input: Tensor) -> Tensor:
        rows = input if self.input_gate is None else input * self.input_gate
        out: Tensor = _Product.apply(rows, self.weight)  # type: ignore[no-untyped-call]
        if self.output_gate is not None:
            out = out * self.output_gate
        if self.bias is not None:
            out = out + self.bias
        if self.down is not None and self.up is not None:
            out = out + (input @ self.down.T) @ self.up.T
        return out


class HalfEmbedding(nn.Embedding):
    """An embedding table that is stored in half precision and returns float32 vectors."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).float()


class _Product(torch.autograd.Function):
    """x W' for float32 rows x and a frozen W; the backward pass keeps the stored W, not its float32 copy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        rows = x.reshape(-1, x.shape[-1])
        out = rows.new_empty(len(rows), len(weight))
        for piece in _pieces(weight):
            torch.mm(rows, weight[piece].float().T, out=out[:, piece])
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        back = rows.new_zeros(len(rows), weight.shape[1])
        for piece in _pieces(weight):
            back.addmm_(rows[:, piece], weight[piece].float())
        return back.view(*gradient.shape[:-1], -1), None


def _pieces(weight: Tensor) -> Iterator[slice]:
    """Slices of a matrix's rows with at most :data:`PIECE` elements each."""
    step = max(1, PIECE // weight.shape[1])
    yield from (slice(start, start + step) for start in range(0, len(weight), step))


def compute_in_float32(model: nn.Module) -> None:
    """Make a model that was loaded in half precision compute in float32, in place.

    Linear layers and embeddings keep their stored weights. Everything else (norms, convolutions, biases, positions) is small and is
    converted to float32. From the Ampere generation on, GPUs compute the products in TF32. TF32 represents a half-precision weight exactly
    and rounds the activation in a product to 11 bits; sums and outputs are float32.
    """
    stored: set[int] = set()
    for module in list(model.modules()):
        if isinstance(module, nn.Linear):
            HalfLinear.convert(module)
            stored.add(id(module.weight))
        elif isinstance(module, nn.Embedding):
            module.__class__ = HalfEmbedding
            stored.add(id(module.weight))
    for parameter in model.parameters():
        if id(parameter) not in stored and parameter.is_floating_point():
            parameter.data = parameter.data.float()
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer is not None and buffer.dtype in (torch.bfloat16, torch.float16):
                module.register_buffer(name, buffer.float(), name not in module._non_persistent_buffers_set)
    torch.set_float32_matmul_precision("high")
