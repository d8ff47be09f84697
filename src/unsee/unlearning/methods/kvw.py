"""Knowledge vector weakening: turn down the feed-forward neurons that forgotten answers use more than retained ones do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from torch import Tensor, nn

from unsee.models.gates import Gates, gate
from unsee.models.packing import Batch, Request
from unsee.unlearning.activations import modules_of, read, requests_of, watching
from unsee.unlearning.method import Context, Needs, method

#: Added to both activations, so that a neuron that is never used has a logarithm.
EPSILON = 1e-12


@method(
    "kvw",
    Needs(training=False, result="gates", prepare="retain"),
    label="KVW",
    colour="#0033BB",
    marker="8",
    paper="https://arxiv.org/abs/2601.21794",
)
def kvw(
    context: Context,
    *,
    strength: Annotated[float, "> 0"] = 0.02,
    pairs: Annotated[int, ">= 1"] = 1,
    skip_first: Annotated[int, ">= 0"] = 0,
    skip_last: Annotated[int, ">= 0"] = 0,
) -> Gates:
    """``W_down <- W_down diag(g)`` after every forget pair D, ``g = exp(-strength max(0, log C(D) - log C(D_r)))`` (Kim et al., 2026).

    A column of ``down_proj`` is a piece of knowledge, and its input says how much of it goes into the answer. Pieces that
    the answers about the forgotten people use more than those about the retained people are turned down, a little for
    each pair; nothing is trained.

    C(D) is the mean of ``|input of down_proj|``, neuron by neuron, over the positions that predict an answer token. C(D_r) is that
    of vanilla and is computed once. C(D) is that of the model as the pairs before have left it. The pairs are read one by one in
    the order of their keys, so that the result depends on neither batch size nor seed. The official code weakens after
    every batch of a shuffled order, and its result depends on both; it also passes over every error in silence.

    Args:
        context: The model, the pairs and their pictures.
        strength: The paper's gamma, 0.01 to 0.03 there. What counts is its product with the number of steps.
        pairs: The pairs of a step, in the order of their keys: the batch size of the official code, 1 to 4 there. The more, the
            less a step mistakes what is odd about a pair for what is odd about the forgotten people.
        skip_first: So many blocks of the decoder from the first are left alone; in the paper 1 of 28 (0 to 4 were tried).
        skip_last: So many blocks from the last; in the paper 2 of 28 (0 to 4 were tried).

    Raises:
        ValueError: No block is left.
    """
    vlm = context.vlm
    layers = modules_of(vlm.base, vlm.family.feed_forward_pattern(), ".down_proj")
    names = list(layers)[skip_first : max(0, len(layers) - skip_last)]  # a negative end would count from the last
    if not names:
        raise ValueError(
            f"kvw: skip_first {skip_first} and skip_last {skip_last} leave none of {len(layers)} blocks; expected fewer"
        )
    layers = {name: layers[name] for name in names}
    retained = coefficients(context, layers, requests_of(context.groups["retain"]))
    product = {name: torch.ones_like(values) for name, values in retained.items()}
    forget = list(requests_of(context.groups["forget"]))
    for start in range(0, len(forget), pairs):
        for name, values in coefficients(context, layers, forget[start : start + pairs]).items():
            factors = weakening(values, retained[name], strength)
            gate(layers[name], "input", factors)
            product[name] *= factors
    return Gates(product, dict.fromkeys(product, "input"))


def coefficients(
    context: Context, layers: dict[str, nn.Linear], examples: Iterable[tuple[str, Request]]
) -> dict[str, Tensor]:
    """C: the mean absolute input of each layer over the positions that predict an answer token.

    Args:
        context: Gives the model and the pictures.
        layers: The layers by name.
        examples: Examples with their keys.

    Returns:
        By layer, (width,), float64, on the CPU.
    """
    sums = {name: torch.zeros(layer.in_features, dtype=torch.float64) for name, layer in layers.items()}
    positions = 0
    example: Batch

    def before(batch: Batch) -> None:
        nonlocal positions, example
        example = batch
        positions += len(batch.targets)

    def see(name: str, neurons: Tensor) -> None:
        sums[name] += neurons[example.target_rows, example.target_columns].double().abs().sum(0).cpu()

    with watching(layers, "input", see):
        for key, request in examples:
            read(context, key, request, before)
    return {name: total / positions for name, total in sums.items()}


def weakening(forget: Tensor, retained: Tensor, strength: float) -> Tensor:
    """``exp(-strength max(0, log C_f - log C_r))``, at most 1: neurons that the retained answers use as much stay as they are."""
    ratio = (forget + EPSILON).log() - (retained + EPSILON).log()
    return (-strength * ratio.clamp(min=0)).exp()
