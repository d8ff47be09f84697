"""The memory of attacks on a GPU."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsee.jobs.resources import resources_of
from unsee.memory.checkpoints import shapes_of
from unsee.memory.lengths import LENGTHS, Lengths
from unsee.memory.needs import GB, Need, answering, training
from unsee.memory.shapes import FLOAT, Shapes
from unsee.training.settings import DIVISION

if TYPE_CHECKING:
    from unsee.jobs.config import AttackEntry, Key

RULE = "attack"


def attack_need(
    entry: AttackEntry, shapes: Shapes, lengths: Lengths, config: Mapping[str, Any], *, beside: int
) -> Need:
    """The memory of the jobs of an attack.

    An attack on weights may change all of them, which are then float32. One that trains leaves them as they are stored.

    Args:
        entry: the attack.
        shapes, lengths: those of the model and the benchmark.
        config: the configuration.
        beside: the total rank of the adapters beside weights in half precision.
    """
    evaluation, unlearning = config["evaluation"], config["unlearning"]
    if entry.attack.kind != "weights":
        return answering(shapes, lengths, evaluation, beside=beside)
    if not entry.attack.trains:
        return answering(replace(shapes, stored=FLOAT), lengths, evaluation)
    needs = [
        training(shapes, lengths, {key: unlearning[key] for key in DIVISION} | entry.options, beside=beside),
        answering(shapes, lengths, evaluation, beside=beside),
    ]
    return max(needs, key=lambda need: need.bytes)


def attack_findings(
    config: Mapping[str, Any], attacks: Mapping[str, AttackEntry], root: Path, *, beside: int
) -> Iterator[tuple[Key, str]]:
    """Attacks whose jobs do not fit the GPU of ``cluster.gpu_gb``, as (key, message).

    Args:
        config: a configuration that is valid otherwise.
        attacks: its attacks, see :func:`unsee.jobs.config.resolve_attacks`.
        root: the folder where a relative path starts.
        beside: the total rank of vanilla's adapter and the largest one of the methods.
    """
    lengths = LENGTHS[config["benchmark"]["name"]]
    shapes = shapes_of(config["model"], root, lengths.picture)
    resources = {**config["cluster"], **resources_of(config, RULE)}
    card = resources.get("gpu_gb")
    if shapes is None or card is None or not resources["gpu"]:
        return
    smallest = {**config, "evaluation": {**config["evaluation"], "batch_size": 1}}
    for entry in attacks.values():
        need = attack_need(entry, shapes, lengths, config, beside=beside)
        if need.fits(card):
            continue
        in_small = attack_need(entry, shapes, lengths, smallest, beside=beside).fits(card)
        other = "a smaller evaluation.batch_size" if in_small else f"a GPU of at least {math.ceil(need.card)} GB"
        part = f"{need.parts[need.largest] / GB:.1f} of them for {need.largest}"
        lacks = f"needs a GPU of {need.card:.1f} GB in rule {RULE}, {part}, and gpu_gb is {card}"
        yield ("attacks", entry.name), f"{lacks}; expected false here, or {other}"
