"""The JSON schema of config.yaml and presets, made from :mod:`unsee.jobs.settings` and the methods' signatures.

``errorMessage`` finishes the sentence "KEY is VALUE; ..."; editors show it as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from unsee.attacks import catalogue as attack_catalogue
from unsee.core.option import REQUIRED, Option, Schema
from unsee.jobs.settings import UNLEARNING_ONLY, Cluster, Config, Job
from unsee.jobs.values import TUNED
from unsee.unlearning.catalogue import Catalogue, Description

_SECTION = "expected a section, as in the project's config.yaml"


def keys_of(section: Any, name: str = "") -> Iterator[tuple[Field[Any], Any]]:
    """The fields of a section and their defaults, in the order of config.yaml."""
    for field in fields(section):
        if not (name == "finetune" and field.name in UNLEARNING_ONLY):
            yield field, getattr(section, field.name)


@cache
def sections() -> Schema:
    """The schema of all sections but ``methods``, ``attacks`` and ``resources``; no key is required."""
    return _section(Config(), "")


@cache
def training() -> Schema:
    """The training settings that an entry of ``methods`` may have, by key."""
    keys: Schema = _section(Config().unlearning, "unlearning")["properties"]
    return keys


@cache
def job() -> Schema:
    """The schema of an entry of ``resources``; no key is required."""
    properties = {**_section(Job(), "")["properties"], **_section(Cluster(), "")["properties"]}
    return {**_section(Job(), ""), "properties": properties}


def settings(method: Description) -> Schema:
    """The settings of ``unlearning`` that the method reads, by key."""
    return training() if method.needs.training else {key: training()[key] for key in method.needs.data_settings}


def options(declared: Mapping[str, Option]) -> Schema:
    """The options of a method or an attack, by key."""
    return {name: _value(option, option.expected) for name, option in declared.items()}


def in_entry(keys: Mapping[str, Schema]) -> Schema:
    """The schemas of these keys in an entry of ``methods`` as an editor checks them: one value, one a ratio, or ``tuned``."""
    return {key: schema if schema.get("type") == "object" else _or_by_ratio(schema) for key, schema in keys.items()}


def _or_by_ratio(schema: Schema) -> Schema:
    by_ratio = {
        "type": "object",
        "patternProperties": {"^([0-9]+|other)$": schema},
        "additionalProperties": False,
        "errorMessage": "expected one value for each ratio in percent, such as {5: 0.001, other: 0.0005}",
    }
    kept: Schema = {key: schema[key] for key in ("description", "errorMessage") if key in schema}
    return {**kept, "anyOf": [schema, by_ratio, {"const": TUNED}]}


def rule_names(root: Path) -> list[str]:
    """The rules of the workflow, as its files define them."""
    texts = [file.read_text(encoding="utf-8") for file in sorted((root / "workflow/rules").glob("*.smk"))]
    return [name for text in texts for name in re.findall(r"^rule (\w+):", text, re.MULTILINE)]


def entry() -> Schema:
    """What every entry of ``methods`` may be."""
    return {
        "type": ["object", "null", "boolean"],
        "not": {"const": True},
        "errorMessage": "expected a section of settings ({} for the defaults), or false to leave the method out",
    }


def methods(names: Mapping[str, Schema]) -> Schema:
    """The schema of ``methods``: these entries, and others that name their method."""
    return {
        "type": "object",
        "description": "rows of the table",
        "properties": dict(names),
        "additionalProperties": entry(),
        "errorMessage": "expected a section with one entry for each row of the table, such as npo: {beta: 0.4}",
    }


def attack_entry() -> Schema:
    """What every entry of ``attacks`` may be."""
    return {
        **entry(),
        "errorMessage": "expected a section of options ({} for the defaults), or false to leave the attack out",
    }


def attacks(names: Mapping[str, Schema]) -> Schema:
    """The schema of ``attacks``: these entries, and others that name their attack."""
    return {
        "type": "object",
        "description": "attacks on every model",
        "properties": dict(names),
        "additionalProperties": attack_entry(),
        "errorMessage": "expected a section with one entry for each attack, such as noise: {share: 0.05}",
    }


def exported(catalogue: Catalogue, attack_files: attack_catalogue.Catalogue) -> Schema:
    """The schema for editors: of config.yaml, and of a preset, which may have any part of it."""
    entries = {
        name: {
            "allOf": [{"$ref": "#/$defs/method"}],
            "properties": in_entry(options(method.options)),
            "propertyNames": {"enum": [*settings(method), "method", "tune", *method.options]},
        }
        for name, method in catalogue.items()
    }
    other = {"$ref": "#/$defs/method"}
    resources = {
        "type": "object",
        "description": "of the jobs of each rule, by its name",
        "additionalProperties": {"$ref": "#/$defs/job"},
    }
    keys = {
        "method": {"description": "the method, if the entry has another name", "enum": list(catalogue)},
        "tune": {
            "description": "values that the search of the settings tries, by key",
            "type": "object",
            "additionalProperties": {"type": "array", "minItems": 1, "uniqueItems": True},
        },
    }
    attack = {"description": "the attack, if the entry has another name", "enum": list(attack_files)}
    attack_entries = {
        name: {
            "allOf": [{"$ref": "#/$defs/attack"}],
            "properties": options(declared.options),
            "propertyNames": {"enum": ["attack", *declared.options]},
        }
        for name, declared in attack_files.items()
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **sections(),
        "properties": {
            **sections()["properties"],
            "methods": {**methods(entries), "additionalProperties": other},
            "attacks": {**attacks(attack_entries), "additionalProperties": {"$ref": "#/$defs/attack"}},
            "resources": resources,
        },
        "$defs": {
            "method": {**entry(), "properties": {**keys, **in_entry(training())}},
            "attack": {**attack_entry(), "properties": {"attack": attack}},
            "job": job(),
        },
    }


def complete(schema: Schema) -> Schema:
    """The same schema with every key required, also of sections inside."""
    if "properties" not in schema:
        return schema
    properties = {name: complete(part) for name, part in schema["properties"].items()}
    return {**schema, "properties": properties, "required": list(properties)}


def _section(section: Any, name: str) -> Schema:
    properties = {}
    for field, default in keys_of(section, name):
        comment, expected = field.metadata["comment"], field.metadata.get("expected", "")
        if is_dataclass(default):
            part = _section(default, field.name)
        else:
            option = Option(str(field.type), default)
            part = {**_value(option, expected or option.expected), **field.metadata["schema"]}
        properties[field.name] = {"description": comment, **part}
    return {"type": "object", "additionalProperties": False, "properties": properties, "errorMessage": _SECTION}


def _value(option: Option, expected: str) -> Schema:
    default = {} if option.default is REQUIRED else {"default": option.default}
    return {**option.schema, **default, "errorMessage": f"expected {expected}"}


@cache
def job_keys() -> tuple[str, ...]:
    """The keys that the resources of every rule must have, in its own entry or by default."""
    return tuple(field.name for field in fields(Job))
