"""Training again: on a few of the forgotten pairs, or on other people's (benign relearning).

What was only hidden comes back after a few steps. A retain-only model under the same training learns from nothing.

Lo et al., "Large Language Models Relearn Removed Concepts", https://arxiv.org/abs/2401.01814; Hu et al., "Unlearning or
Obfuscating? Jogging the Memory of Unlearned LLMs via Benign Relearning", https://arxiv.org/abs/2406.13356.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Annotated, Literal, cast

from peft import PeftModel
from torch import Tensor

from unsee.attacks.attack import State, Weights, attack
from unsee.benchmarks.tables import Pair
from unsee.core.failures import DivergedError
from unsee.models.likelihood import score
from unsee.training.batches import Step, batch, units
from unsee.training.loop import train_stepwise
from unsee.training.lora import add_lora
from unsee.training.progress import Counters
from unsee.training.settings import TrainingSettings

log = logging.getLogger(__name__)


@attack("relearn", label="relearning", paper="https://arxiv.org/abs/2406.13356", trains=True)
def relearn(
    weights: Weights,
    *,
    data: Literal["forgotten", "others"] = "forgotten",
    shares: Annotated[Sequence[float], "> 0, <= 1"] = (0.01, 0.05, 0.25, 1.0),
    steps: Annotated[Sequence[int], ">= 0"] = (10, 40),
    learning_rate: Annotated[float, "> 0"] = 0.003,
    batch_size: Annotated[int, ">= 1"] = 4,
) -> Iterator[State]:
    """Train an adapter on the decoder, anew for each share: mean negative log-likelihood of the answer tokens.

    Args:
        weights: the model.
        data: the pairs to train on: those of the people to forget, or as many of retained people.
        shares: parts of the pairs; a larger one contains the smaller.
        steps: the model is asked after each of these numbers of steps.
        learning_rate: constant.
        batch_size: pairs per step.
    """
    vlm, pictures = weights.vlm, weights.pictures
    settings = TrainingSettings(
        learning_rate=learning_rate, steps=max(steps), batch_size=batch_size, **weights.division
    )

    def objective(part: Step, counters: Counters, n_in_step: Mapping[str, int]) -> Tensor:
        counters.forward_passes += 1
        return score(vlm, batch(vlm, part["train"]), pictures, n_in_step=n_in_step["train"]).nll()

    for share in sorted(shares):
        number = math.ceil(round(share * len(weights.forgotten), 6))  # 0.07 * 100 is a little more than 7
        pairs = drawn(weights.forgotten if data == "forgotten" else weights.others, number, weights.seed)
        variant = f"{100 * share:g} % of the pairs"
        groups = {"train": units(vlm, pictures, pairs, settings.packing)}
        add_lora(vlm, settings.lora, weights.seed)
        left = sorted(set(steps))
        try:
            for progress in train_stepwise(
                vlm, pictures, groups, objective, settings, seed=weights.seed, description=variant
            ):
                if progress.counters.steps in left:
                    left.remove(progress.counters.steps)
                    vlm.model.eval()
                    yield State(variant, progress.counters.steps)
                    vlm.model.train()
        except DivergedError as error:
            log.warning("%s: %s", variant, error)
            vlm.model.eval()
            yield from (State(variant, step, diverged=True) for step in left)
        vlm.model = cast(PeftModel, vlm.model).unload()


def drawn(pairs: Sequence[Pair], number: int, seed: int) -> list[Pair]:
    """So many pairs, all if there are no more, in the order of their ids; a larger number draws the same and others."""
    order = sorted(pairs, key=lambda pair: pair.pair_id)
    Random(f"{seed}:relearn").shuffle(order)
    return sorted(order[:number], key=lambda pair: pair.pair_id)
