"""Checks of single keys of the configuration: known, there, of the right type and in range."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unsee.core.option import Schema, Validator
from unsee.jobs import config_schema
from unsee.jobs.config import Key
from unsee.jobs.config_files import LARGEST, hint, shown, unknown

_MISSING = "is missing; expected it as in the project's config.yaml"
#: A finding: the key, and what follows it in the message.
Finding = tuple[Key, str]
#: Describes a key that a section should not have: the key, and the keys that it may have.
Unknown = Callable[[str, Sequence[str]], str]


def key_findings(config: Mapping[str, Any], root: Path) -> Iterator[Finding]:
    """Check every key but those of the entries of ``methods`` and ``attacks``.

    Args:
        config: a configuration of any content.
        root: the project folder.
    """
    job, rules = config_schema.job(), config_schema.rule_names(root)
    sections = config_schema.complete(config_schema.sections())
    resources = {
        "type": "object",
        "additionalProperties": False,
        "properties": dict.fromkeys(["default", *rules], job),
        "errorMessage": "expected a section with an entry for the jobs of a rule",
    }
    entries = {"methods": config_schema.methods({}), "attacks": config_schema.attacks({})}
    properties = {**sections["properties"], **entries, "resources": resources}
    findings = list(schema_findings(config, {**sections, "properties": properties, "required": list(properties)}))
    yield from findings or _resource_findings(config["resources"])


def _resource_findings(resources: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that every resource has a default."""
    for key in config_schema.job_keys():
        if key not in resources.get("default", {}):
            yield ("resources", "default", key), _MISSING


def schema_findings(
    value: Any, schema: Schema, at: Key = (), describe: Unknown = lambda name, keys: unknown("key", name, keys)
) -> Iterator[Finding]:
    """Check a value against a schema of :mod:`unsee.jobs.config_schema`.

    Args:
        value: any content.
        schema: with an ``errorMessage`` in each part.
        at: the key of the value.
        describe: the message about a key that the schema does not know.
    """
    for error in sorted(
        Validator(schema).iter_errors(value), key=lambda error: [str(key) for key in error.absolute_path]
    ):
        key = at + tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            keys = list(error.schema["properties"])
            for extra in sorted(str(extra) for extra in error.instance if extra not in keys):
                yield (*key, extra), describe(extra, keys)
        elif error.validator == "required":
            for missing in error.validator_value:
                if missing not in error.instance:
                    yield (*key, missing), _MISSING
        else:
            yield key, f"is {shown(error.instance)}; {error.schema['errorMessage']}{hint(error.instance)}"


def size_findings(value: Any, reported: set[Key], at: Key = ()) -> Iterator[Finding]:
    """Check that no number is too large for a seed or the name of a folder, wherever it stands.

    Args:
        value: a configuration or a part of it.
        reported: keys that have a finding already.
        at: the key of the value.
    """
    if at in reported:
        return
    if isinstance(value, Mapping | list | tuple):
        for key, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from size_findings(part, reported, (*at, key))
    elif type(value) in (int, float) and not abs(value) <= LARGEST:
        yield at, f"is {shown(value)}; expected a number between -{LARGEST} and {LARGEST} (32 bits)"
