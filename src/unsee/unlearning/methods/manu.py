"""MANU: remove the feed-forward neurons that tell pictures from words for the forgotten people more than for the retained."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from unsee.models.gates import Gates
from unsee.models.packing import Batch
from unsee.training.batches import Unit
from unsee.unlearning.activations import modules_of, read, requests_of, watching
from unsee.unlearning.method import Context, Needs, method

#: Added to divisors; 1e-5 in the official code.
EPSILON = 1e-5


@method(
    "manu",
    Needs(training=False, result="gates", scaled=False, prepare="retain"),
    label="MANU",
    colour="#EE1144",
    marker="H",
    paper="https://arxiv.org/abs/2502.15910",
)
def manu(
    context: Context,
    *,
    share: Annotated[float, "> 0, < 1"] = 0.02,
    threshold: Annotated[float, ">= 0"] = 0.1,
    neurons: Literal["both", "language", "vision"] = "both",
) -> Gates:
    """Remove the neurons with the largest ``S = I(D_f) / (I(D_r) + eps)``; I is :func:`importance` (Liu et al., ACL 2025).

    A neuron that answers otherwise to a question with its picture than to one in words ties faces to facts. Neurons that
    do so for the forgotten people, and less for the retained, are removed; nothing is trained.

    The neurons are the outputs of the feed-forward layers: gate, up and down in the decoder, fc1 and fc2 in the vision
    tower. A removed neuron has weights and bias of zero. The paper's z(d), a neuron's activation on an example, is here
    the mean of its absolute value over the example's tokens. The tower reads no words: there an example is a picture,
    and its z in text is 0.

    The official code measures every layer under the names of the last three, and one of its two scripts removes nothing.

    Args:
        context: The model, the pairs and their pictures.
        share: The share of neurons that are removed; 0.02, 0.05 and 0.1 in the paper.
        threshold: The activation above which a neuron counts as active; the paper gives none, its code has 0.1.
        neurons: Those of the decoder (``language``), of the tower (``vision``), or ``both`` as in the paper.

    Raises:
        ValueError: The share is less than one neuron, or a group has no pair with a picture or none without.
    """
    forget, retain = (measure(context, context.groups[group], threshold, neurons) for group in ("forget", "retain"))
    scores = {name: importance(*forget[name]) / (importance(*retain[name]) + EPSILON) for name in forget}
    factors = removal(scores, share)
    return Gates(factors, dict.fromkeys(factors, "output"))


class Statistics:
    """Sums over examples of the activations z of a layer with ``width`` neurons, each (width,), float64.

    Attributes:
        n: The number of examples.
        z, squares: The sums of z and of its square.
        active: The number of examples in which z is above the threshold.
    """

    def __init__(self, width: int) -> None:
        self.n = 0
        self.z, self.squares, self.active = torch.zeros(3, width, dtype=torch.float64)

    def add(self, z: Tensor, threshold: float) -> None:
        """Count an example."""
        z = z.double().cpu()
        self.n += 1
        self.z += z
        self.squares += z**2
        self.active += z > threshold

    def means(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean of z, share of examples where the neuron is active, variance, and mean square; all 0 without examples."""
        n = max(self.n, 1)
        mean, square = self.z / n, self.squares / n
        return mean, self.active / n, (square - mean**2).clamp(min=0), square


def importance(pictures: Statistics, words: Statistics) -> Tensor:
    """``I = I_abs + I_freq + I_var + I_rms`` of each neuron of a layer, (width,).

    With Z the mean of z over examples, N the share of examples with z above the threshold, and Q the mean of z^2, over examples with
    pictures (p) and in words (w)::

        I_abs = |Z_p - Z_w| / (Z_p + Z_w + eps)      I_var = sqrt(Var_p + Var_w)
        I_freq = |N_p - N_w| / (N_p + N_w + eps)     I_rms = sqrt(|Q_p - Q_w| / (Q_p + Q_w + eps))

    The paper has numbers and sums in place of N and Q: the same where a set has as many examples of either kind, and here
    independent of how many it has.
    """
    (z_p, n_p, var_p, q_p), (z_w, n_w, var_w, q_w) = pictures.means(), words.means()
    return (
        (z_p - z_w).abs() / (z_p + z_w + EPSILON)
        + (n_p - n_w).abs() / (n_p + n_w + EPSILON)
        + (var_p + var_w).sqrt()
        + ((q_p - q_w).abs() / (q_p + q_w + EPSILON)).sqrt()
    )


def measure(
    context: Context, units: list[Unit], threshold: float, neurons: str
) -> dict[str, tuple[Statistics, Statistics]]:
    """Measure the activations of a group of examples.

    Returns:
        By layer, the statistics of examples with pictures and of those in words.
    """
    vlm = context.vlm
    statistics: dict[str, tuple[Statistics, Statistics]] = {}
    if neurons != "language":
        pattern, _ = vlm.family.vision_patterns()
        layers = modules_of(vlm.base, pattern, ".fc1", ".fc2")
        statistics |= _of_tower(context, layers, units, threshold)
    if neurons != "vision":
        layers = modules_of(vlm.base, vlm.family.feed_forward_pattern())
        statistics |= _of_decoder(context, layers, units, threshold)
    return statistics


def _of_decoder(
    context: Context, layers: dict[str, nn.Linear], units: list[Unit], threshold: float
) -> dict[str, tuple[Statistics, Statistics]]:
    statistics = {
        name: (Statistics(layer.out_features), Statistics(layer.out_features)) for name, layer in layers.items()
    }
    example: Batch

    def before(batch: Batch) -> None:
        nonlocal example
        example = batch

    def see(name: str, outputs: Tensor) -> None:
        z = example.in_mean[0] @ outputs[0].abs().float()
        statistics[name][0 if example.image_ids else 1].add(z, threshold)

    with watching(layers, "output", see):
        for key, request in requests_of(units):
            read(context, key, request, before)
    for pictures, words in statistics.values():
        if not (pictures.n and words.n):
            raise ValueError(
                f"manu: {pictures.n} pairs with a picture and {words.n} without; it compares them: expected both "
                "(modality: both), or neurons: vision"
            )
    return statistics


def _of_tower(
    context: Context, layers: dict[str, nn.Linear], units: list[Unit], threshold: float
) -> dict[str, tuple[Statistics, Statistics]]:
    statistics = {
        name: (Statistics(layer.out_features), Statistics(layer.out_features)) for name, layer in layers.items()
    }

    def see(name: str, outputs: Tensor) -> None:
        statistics[name][0].add(outputs.abs().float().flatten(0, -2).mean(0), threshold)

    image_ids = {image_id for _, request in requests_of(units) for image_id in request.image_ids}
    with watching(layers, "output", see):
        for image_id in sorted(image_ids):
            context.pictures.encode([image_id])
            context.counters.forward_passes += 1
    return statistics


def removal(scores: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Factors of 0 for the share of neurons with the largest scores, over all layers together, and of 1 for the others.

    Of equal scores, the neuron of the earlier layer counts as larger.

    Raises:
        ValueError: The share is less than one neuron.
    """
    together = torch.cat(list(scores.values()))
    n = int(share * len(together))
    if not n:
        raise ValueError(
            f"manu: share {share} of {len(together)} neurons is none; expected at least {1 / len(together):.1e}"
        )
    kept = torch.ones(len(together))
    kept[together.argsort(descending=True, stable=True)[:n]] = 0
    return dict(zip(scores, kept.split([len(values) for values in scores.values()]), strict=True))
