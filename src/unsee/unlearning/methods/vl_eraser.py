"""VL-Eraser: distil the knowledge about the forgotten people into an adapter, then subtract the adapter.

For every linear module W of the decoder's feed-forward blocks:

1. *Vacuum space*: find the input directions that the pictures of the retained people do not use; P projects onto them.
2. *Vacuum distillation*: train a low-rank adapter B A, which sees only P h of an input h, to give the direction of W h
   on the forget examples.
3. *Deletion*: store W - s B A P as an ordinary PEFT adapter (A P, -B), where s = alpha / rank.

Projections, adapters and distances are float32 in whatever precision W is stored.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import parametrize

from unsee.core.files import atomic_write
from unsee.models.likelihood import Scores
from unsee.models.packing import Batch
from unsee.training.lora import lora_config, put_adapter
from unsee.unlearning.method import Context, MethodState, Needs, method
from unsee.unlearning.vacuum import Projection, retained_inputs, vacuum_space

log = logging.getLogger(__name__)

#: The share of |W h| below which :func:`distance` is linear in the adapter's output instead of a cosine. The adapter
#: starts at zero, so that only what it learns is subtracted; but a zero vector has no cosine, and the cosine's gradient
#: is unbounded next to it.
FLOOR = 0.03
#: The smallest divisor of W h, as in torch's cosine.
TINY = 1e-8


@method(
    "vl_eraser",
    Needs(
        prepare="retain",
        prepare_unless={"vacuum": False},
        prepare_pictures={"vacuum_inputs": "image"},
        unread={"lora.scope": {}, "tolerance": {"vacuum": False}, "vacuum_inputs": {"vacuum": False}},
    ),
    requires="distil and weight > 0 or ce and weight < 1",
    label="VL-Eraser",
    colour="#CC79A7",
    marker="X",
    paper="https://cvpr.thecvf.com/virtual/2026/poster/39075",
)
def vl_eraser(
    forget: Scores,
    state: State,
    *,
    weight: Annotated[float, ">= 0, <= 1"] = 0.5,
    vacuum: bool = True,
    distil: bool = True,
    ce: bool = True,
    tolerance: Annotated[float, ">= 0, < 1"] = 0.1,
    vacuum_inputs: Literal["image", "text", "both"] = "image",
) -> Tensor:
    """``weight * L_distil + (1 - weight) * L(D_f)`` on the forget examples (VL-Eraser, CVPR 2026; supplement, 8.4).

    Reversed training mostly breaks the alignment of picture and words. VL-Eraser instead trains forward, on what is to
    be forgotten, and subtracts the result; directions that retained pictures use are never touched.

    Args:
        forget: Scores of the forget examples under the model with the projected adapters added, W h + s B A P h.
        state: The result of :func:`prepare`; it holds the distances of the last forward pass.
        weight: The paper's lambda, 0.5 there.
        vacuum: False gives the paper's ablation without the vacuum space.
        distil: False gives its ablation without distillation.
        ce: False gives its ablation without cross-entropy.
        tolerance: Singular values up to this share of the largest count as zero. 0.1 is 0.01 of the largest eigenvalue of the
            second moment, whose eigenvectors the paper takes; at 1e-6 little more than rounding counts as zero.
        vacuum_inputs: The retained inputs that span what is left alone: those at picture tokens (``image``, the paper),
            those at words (``text``, ours), or both.
    """
    loss = forget.token_log_probs.new_zeros(())
    if distil:
        loss = loss + weight * state.distillation()
    if ce:
        loss = loss + (1 - weight) * forget.nll()
    return loss


def distance(output: Tensor, teacher: Tensor, weights: Tensor, floor: float = FLOOR) -> Tensor:
    """Sum ``1 - <t, o> / (|t| max(|o|, floor |t|))`` over rows, weighted.

    Where |o| is at least ``floor |t|`` this is one minus the cosine. Below, it is linear in o with slope ``1 / floor``
    along t, in units of |t|. The distance is continuous, its gradient at o = 0 is ``- t / (floor |t|^2)``, and neither
    depends on the scale of W.

    Args:
        output: o, the adapter's output, (..., width), float32.
        teacher: t, the module's output, of the same shape; it gets no gradient.
        weights: One weight per row, (...).
        floor: See above.

    Returns:
        A scalar.
    """
    result: Tensor = _Distance.apply(output, teacher, weights, floor)  # type: ignore[no-untyped-call]
    return result


class _Distance(torch.autograd.Function):
    """Keeps the gradient alone for the backward pass, where autograd would keep four tensors of the outputs' size."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, teacher: Tensor, weights: Tensor, floor: float) -> Tensor:
        direction = teacher / (size := teacher.norm(dim=-1, keepdim=True).clamp_min(TINY))
        length = output.norm(dim=-1, keepdim=True)
        least = floor * size
        divisor = torch.maximum(length, least)
        cosine = (output * direction).sum(-1, keepdim=True) / divisor
        if ctx.needs_input_grad[0]:
            # d cos / d o = (t / |t| - cos o / |o|) / |o|; below the floor the divisor is constant and the second term is 0.
            gradient = direction.addcmul_(output, torch.where(length > least, -cosine / divisor, 0.0)).div_(divisor)
            ctx.save_for_backward(gradient.mul_(-weights[..., None]))
        total: Tensor = (1 - cosine[..., 0]).mul_(weights).sum()
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (to_output,) = ctx.saved_tensors
        return to_output * gradient, None, None, None


@dataclass
class State(MethodState):
    """Hooks on the adapted modules, and the distances that they measured in the last forward pass.

    Under gradient checkpointing a block runs twice: the forward pass gives the distances; in the backward pass the block
    only recomputes the tensors that autograd did not keep.
    """

    projections: dict[str, Projection] = field(default_factory=dict)
    hooks: list[Any] = field(default_factory=list)
    _weights: Tensor | None = None
    _distances: dict[str, Tensor] = field(default_factory=dict)

    def begin(self, batch: Batch, n_in_step: int) -> None:
        """Set the weights of the batch's tokens: all examples weigh the same, and so do all tokens of an example."""
        self._weights = batch.in_mean / n_in_step
        self._distances.clear()

    def distillation(self) -> Tensor:
        """:func:`distance` of s B A P h to W h, a scalar: the mean over modules, examples, and an example's tokens."""
        return torch.stack(list(self._distances.values())).mean()

    def attach(self, name: str, layer: nn.Module) -> None:
        """Hook a module, so that each forward pass compares its adapter's output with its own."""
        scaling: float = layer.scaling["default"]  # type: ignore[index, assignment]
        teacher: list[Tensor] = []

        def remember(module: nn.Module, arguments: Any, output: Tensor) -> None:
            if torch.is_grad_enabled():
                teacher[:] = [output.detach()]

        def compare(module: nn.Module, arguments: Any, output: Tensor) -> None:
            if torch.is_grad_enabled() and self._weights is not None:
                scaled = output * scaling if scaling != 1 else output
                self._distances.setdefault(name, distance(scaled, teacher.pop(), self._weights))

        self.hooks.append(layer.base_layer.register_forward_hook(remember))  # type: ignore[union-attr]
        self.hooks.append(layer.lora_B["default"].register_forward_hook(compare))  # type: ignore[index, union-attr]


def prepare(
    context: Context,
    *,
    vacuum: bool,
    distil: bool,
    tolerance: float,
    vacuum_inputs: Literal["image", "text", "both"],
) -> State:
    """Find the vacuum spaces, and put projected adapters on the feed-forward linears; the outputs stay the same.

    ``B A P h = B (A P) h``: the small A is projected, not the many inputs.
    """
    vlm = context.vlm
    state = State()
    if vacuum:
        for name, inputs in retained_inputs(context, vacuum_inputs).items():
            state.projections[name] = vacuum_space(inputs.to(vlm.device), tolerance)
        rows = [
            {"module": name, "width": p.basis.shape[0], "directions_removed": p.removed}
            for name, p in state.projections.items()
        ]
        with atomic_write(context.output / "vacuum.parquet") as part:
            pq.write_table(pa.Table.from_pylist(rows), part)
        log.info("vacuum space: directions removed by module: %s", {r["module"]: r["directions_removed"] for r in rows})
    torch.manual_seed(context.seed)
    vlm.model = put_adapter(
        vlm.base, lora_config(context.settings.lora, vlm.family.feed_forward_pattern()), hooked=True
    )
    for name, layer in _adapted(context):
        if name in state.projections:
            parametrize.register_parametrization(layer.lora_A["default"], "weight", state.projections[name])
        if distil:
            state.attach(name, layer)
    return state


@torch.no_grad()
def finish(context: Context, state: State) -> None:
    """Turn each distilled adapter into its subtraction: A becomes A P, computed in float64, and B becomes -B."""
    for hook in state.hooks:
        hook.remove()
    for name, layer in _adapted(context):
        down = layer.lora_A["default"]
        if name in state.projections:
            projected = state.projections[name](down.parametrizations.weight.original.double())
            parametrize.remove_parametrizations(down, "weight", leave_parametrized=False)
            down.weight.copy_(projected)
        layer.lora_B["default"].weight.neg_()


def _adapted(context: Context) -> list[tuple[str, Any]]:
    return [(name, module) for name, module in context.vlm.base.named_modules() if hasattr(module, "lora_A")]
