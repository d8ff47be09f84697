"""Reading the configuration: values of the command line, and the entries of ``methods`` and ``attacks`` with all their settings."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from unsee.attacks import catalogue as attack_catalogue
from unsee.jobs import values
from unsee.unlearning.catalogue import Catalogue, Description

#: The names and list positions that lead to a value.
Key = tuple[str | int, ...]


class ConfigError(ValueError):
    """The configuration cannot be run; the message has one line for each mistake."""


@dataclass(frozen=True)
class Entry:
    """One unlearning row of the table.

    Attributes:
        name: its name.
        method: its method.
        settings: all settings that its method reads; a value may be one for each ratio or ``tuned``, see :mod:`unsee.jobs.values`.
        grid: the values that the search of its settings tries, by key.
    """

    name: str
    method: Description
    settings: dict[str, Any]
    grid: dict[str, list[Any]] = field(default_factory=dict)

    def at(self, forget_percent: int) -> Entry:
        """The entry with the settings of one ratio; what the search finds is still ``tuned``."""
        return replace(self, settings=values.at(self.settings, forget_percent))

    @property
    def is_tuned(self) -> bool:
        """Whether the search finds some of its settings."""
        return bool(values.tuned_keys(self.settings))

    def searched(self) -> Entry:
        """The entry with everything that its trials vary left to the search."""
        return replace(self, settings={**self.settings, **dict.fromkeys(self.grid, values.TUNED)})

    def trials(self, forget_percent: int) -> dict[str, Entry]:
        """The entry with the settings of each trial of the search at one ratio, by the trial's name."""
        here = self.at(forget_percent)
        return {
            name: replace(here, settings=plain({**here.settings, **trial}))
            for name, trial in values.trials(self.grid).items()
        }


@dataclass(frozen=True)
class AttackEntry:
    """One attack on every model: its name, what its file declares, and all its options."""

    name: str
    attack: attack_catalogue.Description
    options: dict[str, Any]


def content_of(file: Path) -> dict[str, Any]:
    """The sections of a file; none for an empty file."""
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return content


def resolve(config: Mapping[str, Any], methods: Catalogue, files: Sequence[Path] = ()) -> dict[str, Entry]:
    """Lay each entry of ``methods`` over ``unlearning`` and the defaults of its method.

    A method that does not train has none of the settings of training, so that their change does not run it again.

    Args:
        config: a configuration that has passed :func:`unsee.jobs.config_checks.check`.
        methods: all methods.
        files: the files that were merged; they give the order of the rows (Snakemake puts the entries of an overlay first).

    Returns:
        The unlearning rows of the table by name.
    """
    entries = {}
    for name in _names(config, "methods", files):
        if not is_row(config, name):
            continue
        settings = dict(config["methods"][name] or {})
        description = methods[settings.pop("method", name)]
        grid = settings.pop("tune", default_grid(config, description))
        defaults = {key: option.default for key, option in description.options.items()}
        below = config["unlearning"]
        if not description.needs.training:
            below = {key: below[key] for key in description.needs.data_settings}
        below = below | defaults
        entries[name] = Entry(name, description, plain(_overlay(below, settings)), dict(grid))
    return entries


def default_grid(config: Mapping[str, Any], method: Description) -> dict[str, list[Any]]:
    """The values that the search tries for a method whose entry has no grid; a method that does not train has one trial."""
    return {"learning_rate": config["tuning"]["learning_rates"]} if method.needs.training else {}


def as_run(entries: Mapping[str, Entry], forget_percents: Sequence[int]) -> list[dict[str, Entry]]:
    """The entries with each set of values that they may run with: at every ratio, and in every trial of those that are tuned.

    Args:
        entries: see :func:`resolve`.
        forget_percents: the ratios in percent.

    Returns:
        The entries as often as needed, so that each set of values of each entry occurs; once for values that are always the same.
    """
    variants = {name: list(_variants(entry, forget_percents)) for name, entry in entries.items()}
    most = max(map(len, variants.values()), default=0)
    return [{name: of[min(i, len(of) - 1)] for name, of in variants.items()} for i in range(most)]


def _variants(entry: Entry, forget_percents: Sequence[int]) -> Iterable[Entry]:
    """An entry with each different set of values that it may run with."""
    ratios = [(entry.at(percent), entry.trials(percent).values()) for percent in forget_percents]
    runs = [run for at_ratio, trials in ratios for run in (trials if entry.is_tuned else [at_ratio])]
    return {repr(run.settings): run for run in runs}.values()


def resolve_attacks(
    config: Mapping[str, Any], attacks: attack_catalogue.Catalogue, files: Sequence[Path] = ()
) -> dict[str, AttackEntry]:
    """Lay each entry of ``attacks`` over the defaults of its attack.

    Args:
        config, files: as for :func:`resolve`.
        attacks: all attacks.

    Returns:
        The entries that are not ``false``, by name.
    """
    entries = {}
    for name in _names(config, "attacks", files):
        if config["attacks"][name] is False:
            continue
        options = dict(config["attacks"][name] or {})
        description = attacks[options.pop("attack", name)]
        defaults = {key: option.default for key, option in description.options.items()}
        entries[name] = AttackEntry(name, description, plain(defaults | options))
    return entries


def _names(config: Mapping[str, Any], section: str, files: Sequence[Path]) -> list[str]:
    """The entries of a section in the order of the files."""
    names = [name for file in files for name in content_of(file).get(section) or {}]
    return list(dict.fromkeys([*(name for name in names if name in config[section]), *config[section]]))


def is_row(config: Mapping[str, Any], name: str) -> bool:
    """Whether an entry of ``methods`` is a row of the table: not ``false``, and among ``only`` where there is such a list."""
    return config["methods"][name] is not False and (config["only"] is None or name in config["only"])


def read_nested(config: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """Parse the values that ``--config`` set inside a section or list, in place.

    Snakemake leaves them as texts: ``--config 'benchmark={people: 30}'`` sets ``people`` to ``"30"``.

    Args:
        config: all files merged, under what ``--config`` set.
        overrides: what ``--config`` set, as Snakemake parsed it.
    """
    for key, value in overrides.items():
        if isinstance(value, Mapping) and isinstance(config.get(key), dict):
            _parse_section(config[key], value)
        elif isinstance(value, list) and config.get(key) == value:
            config[key] = _parse(value)


def replace_wholes(config: Mapping[str, Any], overrides: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Take each grid and each value by ratio in ``methods`` from one place, the topmost that has it, in place.

    Snakemake merges them key by key: ``{other: 0.1}`` over ``{5: 0.001, other: 0.002}`` would leave 0.001 at 5 %.
    Ratios that are texts, as ``--config`` and JSON have them, become numbers.

    Args:
        config: all files merged, under what ``--config`` set; of any content.
        overrides: what ``--config`` set, as Snakemake parsed it.
        files: the files that were merged, the one on top last.
    """
    layers: list[Any] = [_parse(overrides)]
    for file in reversed(files):
        try:
            layers.append(content_of(file))
        except (OSError, ValueError, yaml.YAMLError):
            return  # the checks of the configuration report it
    _take_wholes(config, layers)


def over_defaults(above: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """A configuration that another workflow gives, laid over the project's own file.

    Args:
        above: what it gives; need not have every key.
        file: the project's config.yaml.
    """
    defaults = content_of(file)
    merged = copy.deepcopy(_overlay(defaults, above))
    _take_wholes(merged, [above, defaults])
    return merged


def _take_wholes(config: Mapping[str, Any], layers: Sequence[Any]) -> None:
    """See :func:`replace_wholes`; the topmost layer is first."""
    for name, entry in _mapping(config.get("methods")).items():
        for key, value in _mapping(entry).items():
            if key == "tune" or values.is_by_ratio(_by_number(value)):
                of_layers = [_mapping(_mapping(_mapping(layer).get("methods")).get(name)) for layer in layers]
                entry[key] = _by_number(next((of[key] for of in of_layers if key in of), value))


def _mapping(value: Any) -> Any:
    return value if isinstance(value, Mapping) else {}


def _by_number(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {int(key) if str(key).isdecimal() else key: part for key, part in value.items()}


def _parse_section(section: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    for key, value in overrides.items():
        if isinstance(value, Mapping) and isinstance(section.get(key), dict):
            _parse_section(section[key], value)
        elif key in section:
            section[key] = _parse(value)


def _parse(value: Any) -> Any:
    if isinstance(value, list):
        return [_parse(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _parse(item) for key, item in value.items()}
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
    """The same value with sorted keys, so that the order of keys in a file changes no job."""
    if isinstance(value, Mapping):
        return {key: plain(value[key]) for key in sorted(value, key=str)}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def layer_of(key: Key, config: Mapping[str, Any], contents: Sequence[Mapping[str, Any]]) -> int:
    """The number of the file that sets a key; the number of files if the command line sets it."""
    section, name = str(key[0]), str(key[1])
    value = config[section][name]
    for number, content in reversed(list(enumerate(contents))):
        part = content.get(section) or {}
        if name in part:
            return number if part[name] == value else len(contents)
    return len(contents)
