"""VL-Eraser: move what is known about the forgotten into an adapter, then take the adapter away.

1. *Vacuum space*: for every feed-forward linear W of the decoder, the directions that the retained people's inputs do not use.
2. *Vacuum distillation*: a low-rank adapter B A that sees only those directions learns to say, on the forget examples, what W says.
3. *Deletion*: W - s B A P, stored as an ordinary PEFT adapter (A P, -B).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from peft import LoraConfig
from torch import Tensor, nn

from unsee.files import written
from unsee.models.packing import Batch
from unsee.training.lora import put_adapter
from unsee.training.pairs import batch
from unsee.training.scores import Scores
from unsee.unlearning.method import Context, Needs, method

log = logging.getLogger(__name__)

#: Standard deviation of a fresh B. Zero, PEFT's default, has no direction for the cosine to improve.
FRESH = 0.02


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


@dataclass
class Projection:
    """P = U U' of the vacuum space of ``width`` inputs, kept as the thinner of U and its complement.

    Attributes:
        basis: orthonormal columns, (width, k): of the space, or of what is taken out.
        inside: whether ``basis`` spans the vacuum space itself.
    """

    basis: Tensor
    inside: bool

    def __call__(self, hidden: Tensor) -> Tensor:
        """P h for rows h, (..., width)."""
        part = (hidden @ self.basis) @ self.basis.T
        return part if self.inside else hidden - part

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
    # In double precision: "zero" is a matter of rounding.
    left, values, _ = torch.linalg.svd(inputs.double().T, full_matrices=True)
    used = int((values > tolerance * values.max()).sum()) if len(values) else 0
    inside = used > inputs.shape[1] // 2
    basis = left[:, used:] if inside else left[:, :used]
    return Projection(basis.to(inputs.dtype).contiguous(), inside)


@dataclass
class State:
    """Hooks on the adapted modules, and what they saw in the last forward pass."""

    projections: dict[str, Projection] = field(default_factory=dict)
    seen: Tensor | None = None
    _teacher: dict[str, Tensor] = field(default_factory=dict)
    _losses: list[Tensor] = field(default_factory=list)
    hooks: list[Any] = field(default_factory=list)

    def begin(self, batch: Batch) -> None:
        """A forward pass of this batch is next."""
        mask = batch.attention_mask
        # A padding token sees itself only, and every other token the first one.
        self.seen = mask.bool() if mask.dim() == 2 else mask[:, 0, :, 0]
        self._losses.clear()

    def distillation(self) -> Tensor:
        """Mean over modules and tokens of 1 - cos(W h, B A P h), a scalar."""
        return torch.stack(self._losses).mean()

    def attach(self, name: str, layer: nn.Module) -> None:
        """Project the adapter's input, and compare its output with the frozen module's."""
        projection = self.projections.get(name)

        def project(module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            assert projection is not None
            return (projection(arguments[0]),)

        def remember(module: nn.Module, arguments: Any, output: Tensor) -> None:
            self._teacher[name] = output.detach()

        def compare(module: nn.Module, arguments: Any, output: Tensor) -> None:
            if torch.is_grad_enabled() and self.seen is not None:
                distance = 1 - F.cosine_similarity(self._teacher.pop(name).float(), output.float(), dim=-1)
                self._losses.append(distance[self.seen].mean())

        if projection is not None:
            self.hooks.append(layer.lora_A["default"].register_forward_pre_hook(project))  # type: ignore[index, union-attr]
        self.hooks.append(layer.base_layer.register_forward_hook(remember))  # type: ignore[union-attr]
        self.hooks.append(layer.lora_B["default"].register_forward_hook(compare))  # type: ignore[index, union-attr]


def prepare(
    context: Context, *, vacuum: bool, tolerance: float, vacuum_inputs: Literal["image", "text", "both"]
) -> State:
    """Find the vacuum spaces, and put projected adapters on the feed-forward linears."""
    vlm, lora = context.vlm, context.settings.lora
    state = State()
    if vacuum:
        for name, inputs in retained_inputs(context, vacuum_inputs).items():
            state.projections[name] = vacuum_space(inputs, tolerance)
        rows = [
            {"module": name, "width": p.basis.shape[0], "directions_removed": p.removed}
            for name, p in state.projections.items()
        ]
        with written(context.output / "vacuum.parquet") as part:
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
    vlm.model = put_adapter(vlm.base, config, watched=True)
    for name, layer in _adapted(context):
        nn.init.normal_(layer.lora_B["default"].weight, std=FRESH)
        state.attach(name, layer)
    return state


@torch.no_grad()
def finish(context: Context, state: State) -> None:
    """Turn the distilled adapters into their own subtraction: A' = A P, B' = -B."""
    for hook in state.hooks:
        hook.remove()
    for name, layer in _adapted(context):
        if name in state.projections:
            weight = layer.lora_A["default"].weight
            weight.copy_(state.projections[name](weight))  # P is symmetric: rows of A P are P applied to rows of A
        layer.lora_B["default"].weight.neg_()


def _adapted(context: Context) -> list[tuple[str, Any]]:
    return [(name, module) for name, module in context.vlm.base.named_modules() if hasattr(module, "lora_A")]


@torch.no_grad()
def retained_inputs(context: Context, which: Literal["image", "text", "both"]) -> dict[str, Tensor]:
    """Each feed-forward linear's input on the retain examples, pooled over the tokens of interest, by module, (n, width).

    Questions about one picture see the same picture tokens, so a picture counts once.
    """
    import re

    vlm = context.vlm
    pattern = re.compile(vlm.family.feed_forward_pattern())
    pooled: dict[str, list[Tensor]] = {}
    current: dict[str, Tensor] = {}

    def watch(name: str) -> Any:
        def hook(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            found = current["tokens"]
            hidden = arguments[0]
            pooled.setdefault(name, []).append(
                (hidden * found[..., None]).sum(1) / found.sum(1, keepdim=True).to(hidden.dtype)
            )

        return hook

    hooks = [m.register_forward_pre_hook(watch(n)) for n, m in vlm.base.named_modules() if pattern.fullmatch(n)]
    try:
        seen: set[str] = set()
        for unit in context.groups["retain"]:
            for request in unit.requests:
                image = request.image_ids[0] if request.images else None
                for kind in ("image", "text"):
                    if which not in (kind, "both") or (kind == "image" and (image is None or image in seen)):
                        continue
                    one = batch(vlm, [type(unit)(unit.key, (request,))]).to(vlm.device)
                    current["tokens"] = one.is_image if kind == "image" else ~one.is_image
                    vlm.hidden_states(one, context.pictures)
                    context.counters.forward_passes += 1
                    if kind == "image":
                        seen.add(str(image))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(rows) for name, rows in pooled.items()}
