"""Checks of the entries of ``methods`` and of ``only``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unsee.core.option import REQUIRED
from unsee.jobs import config_schema
from unsee.jobs.config import Entry, Key, default_grid
from unsee.jobs.config_files import shown, unknown
from unsee.jobs.config_keys import Finding, schema_findings
from unsee.jobs.values import at as at_ratio
from unsee.jobs.values import trials, tuned_keys, without_value
from unsee.memory import LENGTHS, shapes_of
from unsee.unlearning.catalogue import Catalogue, Description
from unsee.unlearning.method import layer_problem

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
            yield from _entry_findings(settings, methods[method], config, at)
        elif "method" in (values or {}):
            yield (*at, "method"), f"is {shown(method)}, and that {unknown('method', method, list(methods))}"
        else:
            yield at, unknown("method", method, list(methods))


def _entry_findings(
    settings: dict[str, Any], method: Description, config: Mapping[str, Any], at: Key
) -> Iterator[Finding]:
    """Check the settings of one entry at every ratio and in every trial, and the grid of its trials."""
    grid, percents = settings.pop("tune", None), config["benchmark"]["forget_percents"]
    for key, percent in without_value(settings, percents):
        expected = f"expected one for each of benchmark.forget_percents {percents}, or for 'other'"
        yield (*at, key), f"has no value at {percent} %; {expected}"
        return
    problems = list(_grid_findings(grid, settings, method, len(config["tuning"]["learning_rates"]), at))
    yield from problems
    if problems:
        return
    tried = trials(grid or default_grid(config, method))
    findings = dict[Finding, None]()
    for percent in percents:
        here = at_ratio(settings, percent)
        for trial in tried.values() if grid or tuned_keys(settings) else [{}]:
            findings |= dict.fromkeys(_setting_findings({**here, **trial}, method, at))
        if not tuned_keys(settings):
            findings |= dict.fromkeys(_setting_findings(here, method, at))
    yield from findings


def _grid_findings(
    grid: Any, settings: Mapping[str, Any], method: Description, n_trials: int, at: Key
) -> Iterator[Finding]:
    """Check the grid of an entry's trials, and that the entry takes all or nothing of what they find."""
    place = (*at, "tune")
    if grid is not None:
        if not _is_grid(grid):
            expected = "expected lists of different values by key, such as {learning_rate: [0.001, 0.002]}"
            yield place, f"is {shown(grid)}; {expected}"
            return
        options = [key for key in method.options if key != "reference_model"]  # it decides which files a job reads
        if wrong := [key for key in grid if key not in ("learning_rate", *options)]:
            yield (*place, wrong[0]), unknown("key to tune", wrong[0], ["learning_rate", *options])
            return
        if len([key for key in grid if key in options]) > 1:
            yield place, f"has {', '.join(grid)}; expected learning_rate and at most one option of {method.name}"
        if len(trials(grid)) != n_trials:
            expected = f"expected {n_trials}, as many as tuning.learning_rates has for every other method"
            yield place, f"has {len(trials(grid))} trials, each value with each; {expected}"
    tuned, keys = tuned_keys(settings), list(grid or ["learning_rate"])
    if tuned and sorted(tuned) != sorted(keys):
        wanted = ", ".join(f"{key}: tuned" for key in keys)
        yield (
            at,
            f"has {', '.join(f'{key}: tuned' for key in tuned)}, and its trials vary {', '.join(keys)}; expected {wanted}",
        )


def _is_grid(grid: Any) -> bool:
    """Whether a value has lists of different values, by key."""
    return (
        isinstance(grid, Mapping)
        and bool(grid)
        and all(isinstance(part, list) and part for part in grid.values())
        and all(len(set(map(repr, part))) == len(part) for part in grid.values())
    )


def _setting_findings(settings: Mapping[str, Any], method: Description, at: Key) -> Iterator[Finding]:
    """Check the settings of one entry, and what the method requires of several options."""
    names = f"the options {', '.join(method.options)}" if method.options else "no options of its own"
    properties = {**config_schema.settings(method), **config_schema.options(method.options)}
    data = "".join(f", and {key}" for key in method.needs.data_settings)
    more = ", and the keys of 'unlearning'" if method.needs.training else f"{data}; it does not train"
    yield from schema_findings(
        settings,
        {"additionalProperties": False, "properties": properties},
        at,
        lambda key, _: unknown("option", key, list(properties), f"{method.name} has {names}{more}"),
    )
    for key, option in method.options.items():
        if option.default is REQUIRED and key not in settings:
            yield (*at, key), f"is missing; expected {option.expected}, {method.name} has no default for it"
    values = {key: settings.get(key, option.default) for key, option in method.options.items()}
    if all(method.options[key].accepts(value) for key, value in values.items()) and not method.accepts(values):
        pairs = ", ".join(f"{key} {shown(values[key])}" for key in method.required_options)
        yield at, f"has {pairs}; {method.name} expected {method.requires}"


def unread_setting_findings(
    config: Mapping[str, Any], entries: Mapping[str, Entry], forget_percents: Sequence[int]
) -> Iterator[Finding]:
    """Check that no entry sets what its method reads at no ratio and in no trial; a value as in ``unlearning`` says nothing."""
    for name, entry in entries.items():
        set_here = dict(config["methods"][name] or {})
        below = {**config["unlearning"], **{key: option.default for key, option in entry.method.options.items()}}
        runs = [run for percent in forget_percents for run in _runs(entry, percent)]
        unread = [entry.method.needs.unread_settings(run.settings) for run in runs]
        for key, reason in unread[0].items():
            if all(key in others for others in unread) and _value(set_here, key) not in (None, _value(below, key)):
                yield (
                    ("methods", name, *key.split(".")),
                    f"is {shown(_value(set_here, key))}, and nothing reads it: {reason}; expected {shown(_value(below, key))}, or "
                    "no such key here",
                )


def _runs(entry: Entry, percent: int) -> list[Entry]:
    """The entry as it runs at one ratio: once, or in each of its trials."""
    return list(entry.trials(percent).values()) if entry.is_tuned else [entry.at(percent)]


def _value(settings: Mapping[str, Any], key: str) -> Any:
    """The value of a key such as ``lora.rank``; None without one."""
    section, _, name = key.rpartition(".")
    inside = settings.get(section) if section else settings
    return inside.get(name) if isinstance(inside, Mapping) else None


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


def layer_findings(config: Mapping[str, Any], entries: Mapping[str, Entry], root: Path) -> Iterator[Finding]:
    """Check that an option that names a layer names a block of the model's decoder."""
    shapes = shapes_of(config["model"], root, LENGTHS[config["benchmark"]["name"]].picture)
    for entry in entries.values():
        if option := entry.method.needs.hidden:
            problem = layer_problem(entry.settings[option], shapes.layers if shapes else None)
            if problem is not None:
                yield ("methods", entry.name, option), problem


def twin_findings(entries: Mapping[str, Entry], forget_percents: Sequence[int]) -> Iterator[Finding]:
    """Check that no two entries are the same runs at these ratios."""
    seen: dict[str, str] = {}
    for entry in entries.values():
        runs = [entry.at(percent).settings for percent in forget_percents]
        twin = seen.setdefault(repr((entry.method.name, runs, entry.grid if entry.is_tuned else {})), entry.name)
        if twin != entry.name:
            expected = "expected another method or other settings"
            yield ("methods", entry.name), f"is the same run as methods.{twin} ({entry.method.name}); {expected}"
