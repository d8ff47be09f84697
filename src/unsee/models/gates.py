"""Gates: one factor for each neuron, by which a method weakens it or removes it.

A gate on a linear module ``W x + b`` is exact: on its input it makes the weight ``W diag(g)``; on its output it makes
``diag(g) W`` and ``g b``. In float32 the factors go into the weights. Weights in half precision stay as they are stored, because
a factor of 0.99 would be rounded away in most of them; the factors are then applied beside them
(:meth:`unsee.models.half.HalfLinear.gate`).

A part s of gates is ``g^s``: a method that weakens a neuron once for each example multiplies, and half of its steps have half
of the exponent. At s = 0 the factor is exactly 1, so that the model is vanilla to the last bit. A gate of 0 is 0 at every
s above 0: a removed neuron has no halfway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from unsee.models import stored
from unsee.models.half import HalfLinear

#: Whether the gated neurons are the inputs of a module or its outputs.
Side = Literal["input", "output"]


@dataclass(frozen=True)
class Gates:
    """The factors of a model's neurons.

    Attributes:
        factors: One factor from 0 for each neuron, by the name of the module in the transformers model, each (width,).
        sides: The side of each module.
    """

    factors: Mapping[str, Tensor]
    sides: Mapping[str, Side]
    kind: ClassVar[str] = "gates"

    def save(self, folder: Path) -> None:
        """Write the two files of a run's result, see :mod:`unsee.models.stored`."""
        factors = {name: values.float() for name, values in self.factors.items()}
        stored.write(folder, {"kind": self.kind, "sides": dict(self.sides)}, factors)

    @classmethod
    def read(cls, folder: Path) -> Gates:
        """Read what :meth:`save` wrote."""
        return cls(load_file(folder / stored.WEIGHTS), stored.config_of(folder)["sides"])

    def merge(self, model: nn.Module, exponent: float = 1.0) -> None:
        """Multiply a model's neurons, in place, by the factors to the power of ``exponent``.

        Raises:
            ValueError: The model lacks a module, a module has another width, or a factor is negative or not finite.
        """
        modules = dict(model.named_modules())
        for name, values in self.factors.items():
            module = modules.get(name)
            if not isinstance(module, nn.Linear):
                raise ValueError(
                    f"gates on {name}: the model has no linear module of that name; expected the model of the run"
                )
            gate(module, self.sides[name], values**exponent)


@torch.no_grad()
def gate(module: nn.Linear, side: Side, factors: Tensor) -> None:
    """Multiply the neurons on one side of a module, in place.

    Args:
        module: A linear module.
        side: Its inputs or its outputs.
        factors: One finite number from 0 for each neuron, (width,).

    Raises:
        ValueError: There are more or fewer factors, or one is negative or not finite.
    """
    width = module.in_features if side == "input" else module.out_features
    if factors.shape != (width,) or not bool((torch.isfinite(factors) & (factors >= 0)).all()):
        raise ValueError(
            f"gates of shape {tuple(factors.shape)} from {float(factors.min())} to {float(factors.max())}; "
            f"expected {width} finite factors from 0"
        )
    factors = factors.to(module.weight.device, torch.float32)
    if isinstance(module, HalfLinear):
        module.gate(side, factors)
        return
    module.weight.mul_(factors if side == "input" else factors[:, None])
    if side == "output" and module.bias is not None:
        module.bias.mul_(factors)
