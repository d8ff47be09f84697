"""The configuration: what its entries mean, once it is checked (:mod:`unsee.jobs.config_checks`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unsee.unlearning.catalogue import Catalogue, Description

#: A path of keys and places in lists.
Key = tuple[str | int, ...]


class ConfigError(ValueError):
    """The configuration cannot be run; one line for each thing that is wrong with it."""


@dataclass(frozen=True)
class Entry:
    """One unlearning row of the table: its name, its method, and the settings the method runs with."""

    name: str
    method: Description
    settings: dict[str, Any]


def content_of(file: Path) -> dict[str, Any]:
    """A file's sections; none for an empty file."""
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return content


def resolve(config: Mapping[str, Any], methods: Catalogue, files: Sequence[Path] = ()) -> dict[str, Entry]:
    """The table's unlearning rows by name, each with ``unlearning`` overlaid by its own entry.

    Args:
        config: a configuration that :func:`check` has passed.
        methods: the methods there are.
        files: the files that were merged; rows stand in the order in which they are first named there (Snakemake
            puts those of a file that is laid over another first).
    """
    named = [name for file in files for name in content_of(file).get("methods") or {}]
    entries = {}
    for name in dict.fromkeys([*(name for name in named if name in config["methods"]), *config["methods"]]):
        if not is_row(config, name):
            continue
        given = dict(config["methods"][name] or {})
        description = methods[given.pop("method", name)]
        defaults = {key: option.default for key, option in description.options.items()}
        entries[name] = Entry(name, description, plain(_overlay(config["unlearning"] | defaults, given)))
    return entries


def resources_of(config: Mapping[str, Any], rule: str) -> dict[str, Any]:
    """The resources of a rule's jobs: ``resources.default`` overlaid by the rule's own entry, if it has one."""
    return {**config["resources"]["default"], **config["resources"].get(rule, {})}


def is_row(config: Mapping[str, Any], name: str) -> bool:
    """Whether an entry of ``methods`` is a row of the table: not ``false``, and among ``only`` where there is such a list."""
    return config["methods"][name] is not False and (config["only"] is None or name in config["only"])


def read_nested(config: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """Give what ``--config`` set inside of a section or list the type that it would have in a file, in place.

    Snakemake reads ``--config 'benchmark={people: 30}'`` as texts only.

    Args:
        config: all files merged, under what ``--config`` set.
        overrides: what ``--config`` set, as Snakemake parsed it.
    """
    for key, value in overrides.items():
        if isinstance(value, Mapping) and isinstance(config.get(key), dict):
            _read_texts(config[key], value)
        elif isinstance(value, list) and config.get(key) == value:
            config[key] = _as_in_a_file(value)


def _read_texts(section: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    for key, value in overrides.items():
        if isinstance(value, Mapping) and isinstance(section.get(key), dict):
            _read_texts(section[key], value)
        elif key in section:
            section[key] = _as_in_a_file(value)


def _as_in_a_file(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_in_a_file(item) for item in value]
    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except (yaml.YAMLError, ValueError):
        return value


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _overlay(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def plain(value: Any) -> Any:
    """Ordinary dictionaries in the order of their keys: a key moved within a file changes no job."""
    if isinstance(value, Mapping):
        return {key: plain(value[key]) for key in sorted(value)}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
