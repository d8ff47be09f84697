"""What a configuration needs, what of it does not fit, and what to set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsee.jobs.config import resources_of
from unsee.memory.checkpoints import shapes_of
from unsee.memory.lengths import LENGTHS, Lengths
from unsee.memory.needs import GB, Need, answering, host, training
from unsee.memory.shapes import Shapes

if TYPE_CHECKING:
    from unsee.jobs.config import Entry, Key

#: Rules that load the base model in every run, and rules that load it when their files are requested.
LOADING = ("finetune", "train_reference", "unlearn", "predict")
ON_REQUEST = ("rescale",)


def needs_of(
    config: Mapping[str, Any], entries: Mapping[str, Entry], shapes: Shapes
) -> Iterator[tuple[tuple[str, ...], str, Need]]:
    """(key of the configuration, rule, need) of each rule that loads the model, and for ``unlearn`` of each entry of ``methods``.

    Weights that are shared out among processes are left out.
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
        if not entry.settings.get("shard"):
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
    rank = vanilla + max((rank_of(entry.settings) for entry in entries.values()), default=0)
    batch_size = ("evaluation", "batch_size")
    need = answering(shapes, lengths, config["evaluation"], beside=rank)
    yield batch_size, "predict", need
    yield batch_size, "rescale", need  # the part of an update that is missing is added in place


def _inputs_a_person(lengths: Lengths, which: str) -> int:
    """Inputs that VL-Eraser keeps clear of, for each person to keep."""
    return lengths.pictures * (which != "text") + lengths.pairs * (which != "image")


def rank_of(settings: Mapping[str, Any]) -> int:
    """The rank of the adapter that a training run makes."""
    return int(settings.get("lora", {}).get("rank", 8))


def ways_to_train(batch_size: int) -> Iterator[dict[str, Any]]:
    """Settings with the same gradient, the fastest first: a step in more parts, then without what can be computed again."""
    for checkpointing in (False, True):
        parts = 1
        while parts <= batch_size:
            yield {"gradient_accumulation": parts, "gradient_checkpointing": checkpointing}
            parts *= 2


def findings(
    config: Mapping[str, Any], entries: Mapping[str, Entry], root: Path, rules: Sequence[str] = LOADING
) -> Iterator[tuple[Key, str]]:
    """What does not fit the host memory that rules request, or the card of ``cluster.gpu_gb``.

    Args:
        config: a configuration that is right otherwise.
        entries: its unlearning methods, see :func:`unsee.jobs.config.resolve`.
        root: the folder that a relative path is seen from.
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
    """What to set so that it fits, or the smallest card that holds it."""
    smallest, in_parts = math.inf, ""
    for words, changed, others in _alternatives(config, entries, key):
        need = next(need for other, of, need in needs_of(changed, others, shapes) if (other, of) == (key, rule))
        option = _whole_step_option(others[key[1]]) if rule == "unlearn" else None
        if need.fits(card) and option is None:
            return words
        if option is None:
            smallest = min(smallest, need.card)
        elif need.fits(card) and not in_parts:
            value = others[key[1]].settings[option]
            in_parts = f"another {option} than {value} (a loss of the whole step) with {words}, "
    return f"a GPU of at least {math.ceil(smallest)} GB, {in_parts}or another model"


def _whole_step_option(entry: Entry) -> str | None:
    """The option whose loss ``gradient_accumulation`` would compute in parts, which unlearning refuses."""
    # Processes are left out of this: how many there are is checked elsewhere, and is the same in every alternative.
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
    for way in ways_to_train(settings["batch_size"]):
        said = " and ".join(f"{name}: {str(value).lower()}" for name, value in way.items())
        if key[0] == "finetune":
            yield said, {**config, "finetune": {**settings, **way}}, entries
        else:
            yield said, config, {key[1]: replace(entries[key[1]], settings={**settings, **way})}
