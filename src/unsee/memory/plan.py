"""The memory that a configuration needs, which jobs do not fit, and which settings would make them fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsee.jobs.resources import resources_of
from unsee.memory.checkpoints import shapes_of
from unsee.memory.lengths import LENGTHS, Lengths
from unsee.memory.needs import GB, Need, answering, host, reading, training
from unsee.memory.shapes import Shapes

if TYPE_CHECKING:
    from unsee.jobs.config import Entry, Key

#: Rules that load the base model in every run, and rules that load it when their files are requested.
LOADING = ("finetune", "train_reference", "unlearn", "predict")
ON_REQUEST = ("rescale", "tune", "attack", "score_pairs")
#: Tokens of an instruction without names, and of a name in it; generous, because a tokenizer may cut rare names into pieces.
INSTRUCTION, NAME = 40, 8


def needs_of(
    config: Mapping[str, Any], entries: Mapping[str, Entry], shapes: Shapes
) -> Iterator[tuple[tuple[str, ...], str, Need]]:
    """(key of the configuration, rule, need) of each rule that loads the model; ``unlearn`` has one per entry of ``methods``.

    Jobs that shard the weights among processes are left out.
    """
    lengths = LENGTHS[config["benchmark"]["name"]]
    if config["benchmark"]["name"] == "synthetic":
        lengths = replace(lengths, people=config["benchmark"]["people"])
    if not config["finetune"].get("shard"):
        need = training(shapes, lengths, config["finetune"])
        yield ("finetune",), "finetune", need
        yield ("finetune",), "train_reference", need
    vanilla = rank_of(config["finetune"])
    retained = round(lengths.people * (1 - min(config["benchmark"]["forget_percents"]) / 100))
    for entry in entries.values():
        if not entry.method.needs.training:
            gated = entry.method.needs.result == "gates"
            need = reading(shapes, lengths, beside=vanilla, gated=gated)
            yield ("methods", entry.name), "unlearn", need
            yield ("methods", entry.name), "tune", need
        elif not entry.settings.get("shard"):
            need = training(
                shapes,
                lengths,
                entry.settings,
                needs=entry.method.needs,
                method=entry.method.name,
                options=entry.settings,
                beside=vanilla,
                retained=retained * _inputs_a_person(lengths, entry.settings.get("vacuum_inputs", "image")),
            )
            yield ("methods", entry.name), "unlearn", need
            yield ("methods", entry.name), "tune", need
    results = {entry.method.needs.result for entry in entries.values()}
    forgotten = math.ceil(lengths.people * max(config["benchmark"]["forget_percents"]) / 100)
    stored: dict[str, Any] = {
        "beside": largest_rank(config, entries),
        "gated": "gates" in results,
        "instruction": INSTRUCTION + NAME * forgotten if "instruction" in results else 0,
    }
    batch_size = ("evaluation", "batch_size")
    need = answering(shapes, lengths, config["evaluation"], **stored)
    yield batch_size, "predict", need
    yield batch_size, "rescale", need  # updates are added in place
    yield batch_size, "tune", need  # after training
    yield batch_size, "score_pairs", answering(shapes, lengths, config["evaluation"] | {"batch_size": 1}, **stored)
    yield batch_size, "attack", need  # what an attack takes besides is in attack_findings


def _inputs_a_person(lengths: Lengths, which: str) -> int:
    """The number of inputs per person to keep that VL-Eraser's projection protects."""
    return lengths.pictures * (which != "text") + lengths.pairs * (which != "image")


def rank_of(settings: Mapping[str, Any]) -> int:
    """The rank of the adapter of a training run."""
    return int(settings.get("lora", {}).get("rank", 8))


def largest_rank(config: Mapping[str, Any], entries: Mapping[str, Entry]) -> int:
    """The total rank of vanilla's adapter and the largest one of the methods."""
    adapters = [entry.settings for entry in entries.values() if entry.method.needs.result == "adapter"]
    return rank_of(config["finetune"]) + max(map(rank_of, adapters), default=0)


def ways_to_train(batch_size: int) -> Iterator[dict[str, Any]]:
    """Settings with the same gradient, the fastest first: more parts per step, then also gradient checkpointing."""
    for checkpointing in (False, True):
        parts = 1
        while parts <= batch_size:
            yield {"gradient_accumulation": parts, "gradient_checkpointing": checkpointing}
            parts *= 2


def findings(
    config: Mapping[str, Any], entries: Mapping[str, Entry], root: Path, rules: Sequence[str] = LOADING
) -> Iterator[tuple[Key, str]]:
    """Jobs that do not fit the host memory that their rules request, or the GPU of ``cluster.gpu_gb``, as (key, message).

    Args:
        config: a configuration that is valid otherwise.
        entries: its unlearning methods, see :func:`unsee.jobs.config.resolve`.
        root: the folder where a relative path starts.
        rules: the rules to check.
    """
    lengths = LENGTHS[config["benchmark"]["name"]]
    shapes = shapes_of(config["model"], root, lengths.picture)
    if shapes is None:
        return
    for rule in rules:
        entry = resources_of(config, rule)
        least = math.ceil(host(shapes) / 10**6)
        if entry["mem_mb"] < least:
            weights = round(shapes.parameters * shapes.stored / 10**6)
            message = (
                f"is {entry['mem_mb']}; expected at least {least}: the weights take {weights} while they are loaded"
            )
            yield ("resources", rule, "mem_mb"), message
    cards = {
        rule: {**config["cluster"], **resources_of(config, rule)}.get("gpu_gb")
        for rule in rules
        if resources_of(config, rule)["gpu"]
    }
    if not any(cards.values()):
        return
    for key, rule, need in needs_of(config, entries, shapes):
        card = cards.get(rule)
        if card is not None and not need.fits(card):
            part = f"{need.parts[need.largest] / GB:.1f} of them for {need.largest}"
            lacks = f"a GPU of {need.card:.1f} GB in rule {rule}, {part}, and gpu_gb is {card}"
            yield key, f"{_needing(config, key)} {lacks}; expected {_remedy(config, entries, key, rule, shapes, card)}"


def _needing(config: Mapping[str, Any], key: tuple[str, ...]) -> str:
    return f"is {config['evaluation']['batch_size']}, and that needs" if key[0] == "evaluation" else "needs"


def _remedy(
    config: Mapping[str, Any],
    entries: Mapping[str, Entry],
    key: tuple[str, ...],
    rule: str,
    shapes: Shapes,
    card: float,
) -> str:
    """Settings that make a job fit, or the smallest GPU that is large enough."""
    smallest, in_parts = math.inf, ""
    for words, changed, others in _alternatives(config, entries, key):
        need = next(need for other, of, need in needs_of(changed, others, shapes) if (other, of) == (key, rule))
        option = _whole_step_option(others[key[1]]) if key[0] == "methods" else None
        if need.fits(card) and option is None:
            return words
        if option is None:
            smallest = min(smallest, need.card)
        elif need.fits(card) and not in_parts:
            value = others[key[1]].settings[option]
            in_parts = f"another {option} than {value} (a loss of the whole step) with {words}, "
    return f"a GPU of at least {math.ceil(smallest)} GB, {in_parts}or another model"


def _whole_step_option(entry: Entry) -> str | None:
    """The option, if any, whose loss needs the whole step, so that unlearning rejects ``gradient_accumulation``."""
    # The number of processes is the same in every alternative, and is checked elsewhere.
    refused = entry.method.needs.refused_parts({**entry.settings, "num_processes": 1})
    return refused and refused[0]


def _alternatives(
    config: Mapping[str, Any], entries: Mapping[str, Entry], key: tuple[str, ...]
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Entry]]]:
    """(in words, configuration, entries) of other settings with the same result, the fastest first."""
    if key[0] == "evaluation":
        for packs in range(config["evaluation"]["batch_size"], 0, -1):
            yield f"at most {packs}", {**config, "evaluation": {**config["evaluation"], "batch_size": packs}}, entries
        return
    settings = config["finetune"] if key[0] == "finetune" else entries[key[1]].settings
    if "batch_size" not in settings:  # a method that does not train has no other settings with the same result
        yield "", config, entries
        return
    for way in ways_to_train(settings["batch_size"]):
        text = " and ".join(f"{name}: {str(value).lower()}" for name, value in way.items())
        if key[0] == "finetune":
            yield text, {**config, "finetune": {**settings, **way}}, entries
        else:
            yield text, config, {key[1]: replace(entries[key[1]], settings={**settings, **way})}
