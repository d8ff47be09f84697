"""VL-Eraser: move what is known about the forgotten into an adapter, then take the adapter away.

1. *Vacuum space*: for every feed-forward linear W of the decoder, the directions that the retained people's inputs do not use.
2. *Vacuum distillation*: a low-rank adapter B A that sees only those directions learns to say, on the forget examples, what W says.
3. *Deletion*: W - s B A P, stored as an ordinary PEFT adapter (A P, -B).

Whatever precision W is stored in, the projections, the adapters and the distances are float32.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from peft import LoraConfig
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import parametrize

from unsee.core.files import atomic_write
from unsee.models.likelihood import Scores
from unsee.models.packing import Batch, Request, collate, pack
from unsee.training.lora import put_adapter
from unsee.unlearning.method import Context, Needs, method

log = logging.getLogger(__name__)

#: Share of |W h| from which on the adapter's output counts as a direction. The adapter starts at zero (it changes nothing, so nothing
#: but what it learns is subtracted), where a cosine has no value, and next to it a gradient without bounds. Below this share the
#: distance is linear in the output instead, see :func:`distance`.
FLOOR = 0.03
#: Keeps |W h| from 0, as in torch's cosine.
TINY = 1e-8


@method("vl_eraser", Needs(prepare="retain"), requires="distil and weight > 0 or ce and weight < 1")
def vl_eraser(
    forget: Scores,
    state: State,
    *,
    weight: Annotated[float, ">= 0, <= 1"] = 0.5,
    vacuum: bool = True,
    distil: bool = True,
    ce: bool = True,
    tolerance: Annotated[float, ">= 0, < 1"] = 1e-6,
    vacuum_inputs: Literal["image", "text", "both"] = "image",
) -> Tensor:
    """``weight * L_distil + (1 - weight) * L_CE`` on the forget examples (VL-Eraser, CVPR 2026).

    Args:
        forget: of the model with the projected adapters added, W h + B A P h.
        state: what :func:`prepare` made; knows the distillation loss of the last forward pass.
        weight: the paper's lambda.
        vacuum, distil, ce: False for the paper's ablations.
        tolerance: singular values up to this share of the largest count as zero.
        vacuum_inputs: the retained inputs to stay clear of: at picture tokens (the paper), at words (ours), or both.
    """
    loss = forget.token_log_probs.new_zeros(())
    if distil:
        loss = loss + weight * state.distillation()
    if ce:
        loss = loss + (1 - weight) * forget.nll()
    return loss


class Projection(nn.Module):
    """P = U U' of the vacuum space of ``width`` inputs, kept as the thinner of U and its complement.

    Args:
        basis: orthonormal columns, (width, k), float32: of the space, or of what is taken out.
        inside: whether ``basis`` spans the vacuum space itself.
    """

    basis: Tensor

    def __init__(self, basis: Tensor, inside: bool) -> None:
        super().__init__()
        self.register_buffer("basis", basis, persistent=False)
        self.inside = inside

    def forward(self, rows: Tensor) -> Tensor:
        """P r for rows r, (..., width), in the rows' precision.

        P is symmetric: of the rows of a matrix A these are the rows of A P.
        """
        basis = self.basis.to(rows.dtype)
        part = (rows @ basis) @ basis.T
        return part if self.inside else rows - part

    @property
    def removed(self) -> int:
        """Directions that are not in the vacuum space."""
        return self.basis.shape[0] - self.basis.shape[1] if self.inside else self.basis.shape[1]


def vacuum_space(inputs: Tensor, tolerance: float) -> Projection:
    """The directions in which no input has a part.

    Args:
        inputs: pooled inputs of the retained examples, (n, width).
        tolerance: singular values up to this share of the largest count as zero.
    """
    n, width = inputs.shape
    # In double precision: "zero" is a matter of rounding. All directions only where the unused ones may be the fewer.
    left, values, _ = torch.linalg.svd(inputs.double().T, full_matrices=n > width // 2)
    used = int((values > tolerance * values.max()).sum()) if len(values) else 0
    inside = used > width // 2
    basis = left[:, used:] if inside else left[:, :used]
    return Projection(basis.float().contiguous(), inside)


def distance(output: Tensor, teacher: Tensor, weights: Tensor, floor: float = FLOOR) -> Tensor:
    """The weighted sum of ``1 - <t, o> / (|t| max(|o|, floor |t|))`` over rows, a scalar.

    Where |o| is at least ``floor |t|`` this is one minus the cosine. Below, it falls with slope ``1 / floor`` along t, in units of |t|:
    the distance is continuous, its gradient at o = 0 is ``- t / (floor |t|^2)``, and neither changes with the scale of W.

    Args:
        output: o, (..., width), float32.
        teacher: t, of the same shape; has no gradient.
        weights: of each row, (...).
        floor: see above.
    """
    result: Tensor = _Distance.apply(output, teacher, weights, floor)  # type: ignore[no-untyped-call]
    return result


class _Distance(torch.autograd.Function):
    """Keeps one tensor for the backward pass, the gradient; autograd would keep the outputs, the teacher's and their multiples."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, teacher: Tensor, weights: Tensor, floor: float) -> Tensor:
        direction = teacher / (size := teacher.norm(dim=-1, keepdim=True).clamp_min(TINY))
        length = output.norm(dim=-1, keepdim=True)
        least = floor * size
        divisor = torch.maximum(length, least)
        cosine = (output * direction).sum(-1, keepdim=True) / divisor
        if ctx.needs_input_grad[0]:
            # Along o only where the length divides; d cos / d o = (t / |t| - cos o / |o|) / |o| there.
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
class State:
    """Hooks on the adapted modules, and the distances that they measured in the last forward pass.

    The hooks keep one number a module. Under gradient checkpointing a block runs twice: in the forward pass, whose distances count,
    and again in the backward pass, where it only makes anew what autograd did not keep.
    """

    projections: dict[str, Projection] = field(default_factory=dict)
    hooks: list[Any] = field(default_factory=list)
    _weights: Tensor | None = None
    _distances: dict[str, Tensor] = field(default_factory=dict)

    def begin(self, batch: Batch, n_in_step: int) -> None:
        """A forward pass of this batch is next.

        Every example weighs the same, and in it every token, whatever it shares a sequence or a batch with.
        """
        self._weights = batch.in_mean / n_in_step
        self._distances.clear()

    def distillation(self) -> Tensor:
        """:func:`distance` of B A P h to W h: mean over modules, and over examples of the mean over their tokens, a scalar."""
        return torch.stack(list(self._distances.values())).mean()

    def attach(self, name: str, layer: nn.Module) -> None:
        """Compare what an adapter adds with what the frozen module says."""
        scaling: float = layer.scaling["default"]  # type: ignore[index, assignment]
        teacher: list[Tensor] = []

        def remember(module: nn.Module, arguments: Any, output: Tensor) -> None:
            if torch.is_grad_enabled():
                teacher[:] = [output.detach()]

        def compare(module: nn.Module, arguments: Any, output: Tensor) -> None:
            if torch.is_grad_enabled() and self._weights is not None:
                found = distance(output * scaling if scaling != 1 else output, teacher.pop(), self._weights)
                self._distances.setdefault(name, found)

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
    """Find the vacuum spaces, and put projected adapters on the feed-forward linears; they change nothing yet.

    ``B A P h = B (A P) h``: it is A that is projected, at every use, and not the many inputs.
    """
    vlm, lora = context.vlm, context.settings.lora
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
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=vlm.family.feed_forward_pattern(),
        bias="none",
    )
    vlm.model = put_adapter(vlm.base, config, hooked=True)
    for name, layer in _adapted(context):
        if name in state.projections:
            parametrize.register_parametrization(layer.lora_A["default"], "weight", state.projections[name])
        if distil:
            state.attach(name, layer)
    return state


@torch.no_grad()
def finish(context: Context, state: State) -> None:
    """Turn the distilled adapters into their own subtraction: A' = A P, computed in double precision, and B' = -B."""
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


@torch.no_grad()
def retained_inputs(context: Context, which: Literal["image", "text", "both"]) -> dict[str, Tensor]:
    """Each feed-forward linear's input on the retain examples, pooled, by module, (n, width), float32, on the CPU.

    A picture gives one row, the mean over its tokens: questions about it see the same ones. A question and its answer give one
    row, the mean over their words. A picture is passed once, with all its questions where words are wanted, else without any: tokens see
    none that come later. Only the rows are kept.
    """
    vlm = context.vlm
    pattern = re.compile(vlm.family.feed_forward_pattern())
    pooled: dict[str, list[Tensor]] = {}
    weights = torch.empty(0)

    def watch(name: str) -> Any:
        def hook(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            pooled.setdefault(name, []).append((weights @ arguments[0][0].float()).cpu())

        return hook

    hooks = [m.register_forward_pre_hook(watch(n)) for n, m in vlm.base.named_modules() if pattern.fullmatch(n)]
    try:
        for requests in _by_picture(context, which):
            one = pack(requests, vlm.image_token)
            examples = collate([one], pad_token=vlm.pad_token).to(vlm.device)
            rows = [one.is_image] if which != "text" and requests[0].images else []
            if which != "image":
                for path in one.paths:
                    row = torch.zeros(len(one), dtype=torch.bool)
                    row[path] = True
                    rows.append(row.numpy() & ~one.is_image)
            chosen = torch.stack([torch.from_numpy(row) for row in rows]).float()
            weights = (chosen / chosen.sum(1, keepdim=True)).to(vlm.device)
            vlm.hidden_states(examples, context.pictures)
            context.counters.forward_passes += 1
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(rows) for name, rows in pooled.items()}


def _by_picture(context: Context, which: str) -> list[Sequence[Request]]:
    """The retain examples by the pictures they show, in order; for pictures alone, one example each, cut off behind the picture."""
    by_picture: dict[Any, list[Request]] = {}
    for unit in context.groups["retain"]:
        for i, request in enumerate(unit.requests):
            by_picture.setdefault(request.image_ids or (unit.key, i), []).append(request)
    if which != "image":
        return list(by_picture.values())
    token = context.vlm.image_token
    return [[_until_picture(requests[0], token)] for requests in by_picture.values() if requests[0].images]


def _until_picture(request: Request, image_token: int) -> Request:
    """A request up to its last picture's last token."""
    end = len(request.prompt) - request.prompt[::-1].index(image_token)
    positions = None if request.positions is None else request.positions[:, :end]
    return replace(request, prompt=request.prompt[:end], answer=(), positions=positions)
