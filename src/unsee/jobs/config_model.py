"""Checks of settings against the base model, as far as its config.json is known when the workflow is planned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unsee.jobs.config import Entry, Key
from unsee.jobs.config_keys import Finding
from unsee.memory import LENGTHS, Shapes, shapes_of
from unsee.memory.blocks import linear_layers


def model_findings(config: Mapping[str, Any], entries: Mapping[str, Entry], root: Path) -> list[Finding]:
    """Check adapters and answers against the model's layers and its context.

    Args:
        config: a configuration that is right otherwise.
        entries: its unlearning methods, see :func:`unsee.jobs.config.resolve`.
        root: the project folder.
    """
    shapes = shapes_of(config["model"], root, LENGTHS[config["benchmark"]["name"]].picture)
    if shapes is None:
        return []
    runs: dict[Key, Mapping[str, Any]] = {("finetune",): config["finetune"], ("unlearning",): config["unlearning"]}
    for name, entry in entries.items():
        if entry.settings.get("lora", config["unlearning"]["lora"]) != config["unlearning"]["lora"]:
            runs["methods", name] = entry.settings
    findings: list[Finding] = []
    for key, settings in runs.items():
        rank, largest = settings["lora"]["rank"], _largest_rank(shapes, settings["lora"]["scope"])
        if rank > largest:
            expected = f"expected at most {largest}, the smaller side of the smallest matrix that is adapted"
            findings.append(((*key, "lora", "rank"), f"is {rank}; {expected}"))
    evaluation = config["evaluation"]
    if evaluation["protocol"] == "unsee" and evaluation["max_new_tokens"] >= shapes.context:
        expected = f"expected less than {shapes.context}, the tokens that the model was made for, prompt and answer"
        findings.append((("evaluation", "max_new_tokens"), f"is {evaluation['max_new_tokens']}; {expected}"))
    return findings


def _largest_rank(shapes: Shapes, scope: str) -> int:
    """The rank of the smallest adapted matrix: a larger adapter could change no more of it."""
    return min(min(n_in, n_out) for _, n_in, n_out in linear_layers(shapes, scope))
