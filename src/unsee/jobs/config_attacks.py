"""Checks of the entries of ``attacks``, and of what each attack needs of the benchmark and the models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from unsee.attacks.attack import Need
from unsee.attacks.catalogue import Catalogue, Description
from unsee.core.option import REQUIRED
from unsee.jobs import config_schema
from unsee.jobs.config import AttackEntry, Entry, Key
from unsee.jobs.config_files import shown, unknown
from unsee.jobs.config_keys import Finding, schema_findings

#: The benchmarks that ask about each person to forget twice: in a profile and in a test set, with another picture in other words.
#: CLEAR has several pictures of a person too, but its questions are about what one of them shows.
WITH_TEST_SET = ("synthetic", "mllmu", "folder")


def attack_findings(config: Mapping[str, Any], attacks: Catalogue) -> Iterator[Finding]:
    """Check each entry by itself: its name, its attack, and the attack's options."""
    for name, values in config["attacks"].items():
        at: Key = ("attacks", name)
        if values is False:
            continue
        if not re.fullmatch(r"[a-z][a-z0-9_]*", str(name)):
            yield at, "is no name for an attack's entry; expected small letters, digits and underscores"
            continue
        options = dict(values or {})
        attack = options.pop("attack", name)
        if isinstance(attack, str) and attack in attacks:
            yield from _option_findings(options, attacks[attack], at)
        elif "attack" in (values or {}):
            yield (*at, "attack"), f"is {shown(attack)}, and that {unknown('attack', attack, list(attacks))}"
        else:
            yield at, unknown("attack", attack, list(attacks))


def _option_findings(options: Mapping[str, Any], attack: Description, at: Key) -> Iterator[Finding]:
    names = f"the options {', '.join(attack.options)}" if attack.options else "no options"
    schema = {"additionalProperties": False, "properties": config_schema.options(attack.options)}
    yield from schema_findings(
        options, schema, at, lambda key, _: unknown("option", key, list(attack.options), f"{attack.name} has {names}")
    )
    for key, option in attack.options.items():
        if option.default is REQUIRED and key not in options:
            yield (*at, key), f"is missing; expected {option.expected}, {attack.name} has no default for it"


def attack_twin_findings(entries: Mapping[str, AttackEntry]) -> Iterator[Finding]:
    """Check that no two entries are the same attack."""
    seen: dict[str, str] = {}
    for entry in entries.values():
        twin = seen.setdefault(repr((entry.attack.name, entry.options)), entry.name)
        if twin != entry.name:
            yield (
                ("attacks", entry.name),
                f"is the same as attacks.{twin} ({entry.attack.name}); expected another attack or other options",
            )


def need_findings(
    config: Mapping[str, Any], attacks: Mapping[str, AttackEntry], methods: Mapping[str, Entry]
) -> Iterator[Finding]:
    """Check that benchmark and models have what each attack needs; for targets that need the attacks only.

    Args:
        config: a configuration that is right otherwise.
        attacks: its attacks.
        methods: its unlearning methods.
    """
    for entry in attacks.values():
        for need in entry.attack.needs:
            if lack := _lack(need, config, methods):
                yield ("attacks", entry.name), lack
    percents, ratios = config["robustness"]["forget_percents"], config["benchmark"]["forget_percents"]
    for i, percent in enumerate(percents or []):
        if percent not in ratios:
            yield (
                ("robustness", "forget_percents", i),
                f"is {percent}; expected one of benchmark.forget_percents, {ratios}, or null for all",
            )


def _lack(need: Need, config: Mapping[str, Any], methods: Mapping[str, Entry]) -> str | None:
    """Why a need is not met, and what to do; ``None`` if it is."""
    name, tasks, scoring = (
        config["benchmark"]["name"],
        config["evaluation"]["tasks"],
        config["evaluation"]["classification"],
    )
    if need == "options" and "classification" not in tasks:
        return f"asks questions with options, and evaluation.tasks is {tasks}; expected false here, or classification there"
    if need == "options" and scoring != "letter":
        return (
            f"changes the options that the prompt shows, and evaluation.classification is {scoring}, which shows none; "
            "expected false here, or letter there"
        )
    if need == "other_pictures" and name not in WITH_TEST_SET:
        return f"shows another photo, and benchmark.name is {name}, whose questions are about one photo; expected false"
    if need == "other_wordings" and name not in WITH_TEST_SET:
        return f"asks in other words, and benchmark.name is {name}, which asks each question in one wording; expected false"
    if need == "trained_projector":
        # Gates may be on neurons of the tower, and putting it back takes them away.
        gated = any(entry.method.needs.result == "gates" for entry in methods.values())
        sections = [config["finetune"], *(entry.settings for entry in methods.values())]
        if not gated and all(settings.get("lora", {}).get("scope", "language") == "language" for settings in sections):
            return (
                "puts back the vision tower and the projector, and no model has trained them (lora.scope is language in "
                "finetune and in all methods); expected false here, or another lora.scope there"
            )
    return None
