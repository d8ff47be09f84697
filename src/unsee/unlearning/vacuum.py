"""The vacuum space of VL-Eraser: the input directions of a linear module that retained examples do not use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unsee.models.packing import Request, collate, pack
from unsee.unlearning.method import Context


class Projection(nn.Module):
    """The projection P = U U' onto a vacuum space, stored as the basis of the space or of its complement, if thinner.

    Args:
        basis: Orthonormal columns, (width, k), float32.
        inside: Whether ``basis`` spans the vacuum space; else it spans the complement.
    """

    basis: Tensor

    def __init__(self, basis: Tensor, inside: bool) -> None:
        super().__init__()
        self.register_buffer("basis", basis, persistent=False)
        self.inside = inside

    def forward(self, rows: Tensor) -> Tensor:
        """P r for rows r, (..., width), in the rows' precision. As P is symmetric, the rows of A give those of A P."""
        basis = self.basis.to(rows.dtype)
        part = (rows @ basis) @ basis.T
        return part if self.inside else rows - part

    @property
    def removed(self) -> int:
        """The number of directions outside the vacuum space."""
        return self.basis.shape[0] - self.basis.shape[1] if self.inside else self.basis.shape[1]


def vacuum_space(inputs: Tensor, tolerance: float) -> Projection:
    """Project onto the directions that are orthogonal to all inputs.

    Args:
        inputs: Pooled inputs of the retained examples, (n, width).
        tolerance: Singular values up to this share of the largest count as zero.
    """
    n, width = inputs.shape
    # In float64, because rounding decides what counts as zero. The full basis is needed only if the space may be thinner.
    left, values, _ = torch.linalg.svd(inputs.double().T, full_matrices=n > width // 2)
    used = int((values > tolerance * values.max()).sum()) if len(values) else 0
    inside = used > width // 2
    basis = left[:, used:] if inside else left[:, :used]
    return Projection(basis.float().contiguous(), inside)


@torch.no_grad()
def retained_inputs(context: Context, which: Literal["image", "text", "both"]) -> dict[str, Tensor]:
    """Collect the pooled inputs of the feed-forward linears on the retain examples.

    A picture gives one row, the mean over its tokens: they are the same in every question about it. A question with its
    answer gives one row, the mean over their words. Each picture is passed once: with all its questions if words are
    wanted, else cut off after the picture, because tokens do not depend on later ones.

    Args:
        context: Gives the model, the retain examples and their pictures.
        which: The tokens to pool: those of pictures, of words, or both.

    Returns:
        By module, (n, width), float32, on the CPU.
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
            selected = torch.stack([torch.from_numpy(row) for row in rows]).float()
            weights = (selected / selected.sum(1, keepdim=True)).to(vlm.device)
            vlm.hidden_states(examples, context.pictures)
            context.counters.forward_passes += 1
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(rows) for name, rows in pooled.items()}


def _by_picture(context: Context, which: str) -> list[Sequence[Request]]:
    """Group the retain examples by the pictures they show; if words are not wanted, keep one cut-off example per picture."""
    by_picture: dict[Any, list[Request]] = {}
    for unit in context.groups["retain"]:
        for i, request in enumerate(unit.requests):
            by_picture.setdefault(request.image_ids or (unit.key, i), []).append(request)
    if which != "image":
        return list(by_picture.values())
    token = context.vlm.image_token
    return [[_until_picture(requests[0], token)] for requests in by_picture.values() if requests[0].images]


def _until_picture(request: Request, image_token: int) -> Request:
    """The request cut off after the last token of its last picture."""
    end = len(request.prompt) - request.prompt[::-1].index(image_token)
    positions = None if request.positions is None else request.positions[:, :end]
    return replace(request, prompt=request.prompt[:end], answer=(), positions=positions)
