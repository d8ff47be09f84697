"""The activations of neurons while the model reads examples, for methods that do not train."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from unsee.models.gates import Side
from unsee.models.packing import Batch, Request
from unsee.training.batches import Unit, batch
from unsee.unlearning.method import Context


def modules_of(model: nn.Module, pattern: str, *ends: str) -> dict[str, nn.Linear]:
    """The linear modules whose whole names match a regular expression and end in one of ``ends``, in the model's order."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and re.fullmatch(pattern, name) and name.endswith(ends or "")
    }


def requests_of(units: Sequence[Unit]) -> Iterator[tuple[str, Request]]:
    """Each example by itself, with its key, in the order of keys: what is measured depends on no size of a batch."""
    for unit in sorted(units, key=lambda unit: unit.key):
        for request in unit.requests:
            yield unit.key, request


@contextmanager
def watching(modules: Mapping[str, nn.Module], side: Side, see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call ``see(name, neurons)`` with the neurons on one side of each module, (..., width), whenever it runs."""

    def hook(name: str) -> Any:
        if side == "input":
            return lambda module, arguments: see(name, arguments[0])
        return lambda module, arguments, output: see(name, output)

    register = "register_forward_pre_hook" if side == "input" else "register_forward_hook"
    hooks = [getattr(module, register)(hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in hooks:
            handle.remove()


@torch.no_grad()
def read(context: Context, key: str, request: Request, before: Callable[[Batch], None]) -> None:
    """Run the decoder over one example, and count the pass.

    Args:
        context: Gives the model, the pictures and the counters.
        key: The example's name.
        request: The example.
        before: Called with the batch before it is read.
    """
    example = batch(context.vlm, [Unit(key, (request,))]).to(context.vlm.device)
    before(example)
    context.vlm.hidden_states(example, context.pictures)
    context.counters.forward_passes += 1
