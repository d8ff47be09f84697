"""Checks of the entries of ``methods`` and of ``only``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from unsee.core.option import REQUIRED
from unsee.jobs import config_schema
from unsee.jobs.config import Entry, Key
from unsee.jobs.config_files import shown, unknown
from unsee.jobs.config_keys import Finding, schema_findings
from unsee.unlearning.catalogue import Catalogue, Description

#: Rows of every table that are no unlearning method; no entry may have such a name.
RESERVED = ("base", "vanilla", "retain")


def method_findings(config: Mapping[str, Any], methods: Catalogue) -> Iterator[Finding]:
    """Check each entry by itself: its name, its method, and the method's settings."""
    for name, values in config["methods"].items():
        at: Key = ("methods", name)
        if values is False:
            continue
        if not re.fullmatch(r"[a-z][a-z0-9_]*", str(name)) or name in RESERVED:
            words = f"small letters, digits and underscores, and none of {', '.join(RESERVED)}"
            yield at, f"is no name for a method's entry; expected {words}"
            continue
        settings = dict(values or {})
        method = settings.pop("method", name)
        if isinstance(method, str) and method in methods:
            yield from _setting_findings(settings, methods[method], at)
        elif "method" in (values or {}):
            yield (*at, "method"), f"is {shown(method)}, and that {unknown('method', method, list(methods))}"
        else:
            yield at, unknown("method", method, list(methods))


def _setting_findings(settings: Mapping[str, Any], method: Description, at: Key) -> Iterator[Finding]:
    """Check the settings of one entry, and what the method requires of several options."""
    names = f"the options {', '.join(method.options)}" if method.options else "no options of its own"
    keys = [*method.options, *config_schema.training()]
    schema = {
        "additionalProperties": False,
        "properties": {**config_schema.training(), **config_schema.options(method.options)},
    }
    yield from schema_findings(
        settings,
        schema,
        at,
        lambda key, _: unknown("option", key, keys, f"{method.name} has {names}, and the keys of 'unlearning'"),
    )
    for key, option in method.options.items():
        if option.default is REQUIRED and key not in settings:
            yield (*at, key), f"is missing; expected {option.expected}, {method.name} has no default for it"
    values = {key: settings.get(key, option.default) for key, option in method.options.items()}
    if all(method.options[key].accepts(value) for key, value in values.items()) and not method.accepts(values):
        pairs = ", ".join(f"{key} {shown(values[key])}" for key in method.required_options)
        yield at, f"has {pairs}; {method.name} expected {method.requires}"


def only_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that ``only`` names entries of ``methods``."""
    entries = [str(name) for name, values in config["methods"].items() if values is not False]
    for i, name in enumerate(config["only"] or []):
        if config["methods"].get(name) is False:
            yield ("only", i), f"is {shown(name)}, and methods.{name} is false; expected one or the other"
        elif name not in config["methods"]:
            yield ("only", i), f"is {shown(name)}, and that {unknown('entry of methods', name, entries)}"


def part_findings(entries: Mapping[str, Entry]) -> Iterator[Finding]:
    """Check that a batch whose loss is not a mean over examples is not computed in parts."""
    for entry in entries.values():
        if refused := entry.method.needs.refused_parts(entry.settings):
            option, why = refused
            yield ("methods", entry.name, option), why


def twin_findings(entries: Mapping[str, Entry]) -> Iterator[Finding]:
    """Check that no two entries are the same run."""
    seen: dict[str, str] = {}
    for entry in entries.values():
        twin = seen.setdefault(repr((entry.method.name, entry.settings)), entry.name)
        if twin != entry.name:
            expected = "expected another method or other settings"
            yield ("methods", entry.name), f"is the same run as methods.{twin} ({entry.method.name}); {expected}"
