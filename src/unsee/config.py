"""The configuration: checked before any job starts, and each method's settings put together.

The schema (``workflow/schemas/config.schema.yaml``) says what single keys may be; here is what takes more than one
key, and what turns either's findings into a sentence: which file and key, what was found, what was expected.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from unsee import memory
from unsee.benchmarks import published
from unsee.evaluation import protocols
from unsee.models import checkpoints
from unsee.unlearning.catalogue import REQUIRED, Catalogue, Description

SCHEMA = Path("workflow/schemas/config.schema.yaml")

#: Rows of every table that are no unlearning method; no entry may have such a name.
RESERVED = ("base", "vanilla", "retain")
#: No number of a configuration is larger, of either sign: generators of random numbers take seeds of 32 bits.
LARGEST = 2**32 - 1
#: Values of a file when its aliases are written out; a file that contains itself has no end of them.
MOST_VALUES = 100_000
#: Problems that are listed; the rest is counted.
LISTED = 10

Key = tuple[str | int, ...]


class ConfigError(ValueError):
    """The configuration cannot be run; one line for each thing that is wrong with it."""


@dataclass(frozen=True)
class Entry:
    """One unlearning row of the table: its name, its method, and the settings the method runs with."""

    name: str
    method: Description
    settings: dict[str, Any]


def check(config: Mapping[str, Any], methods: Catalogue, root: Path, files: Sequence[Path] = ()) -> None:
    """Check a whole configuration without touching a file.

    Args:
        config: all files merged, as the workflow sees it.
        methods: the methods there are.
        root: the project folder, that the schema and relative paths are found from.
        files: the files that were merged, the project's own first, later ones win; they are read to say where a wrong key
            is, and what was set at all.

    Raises:
        ConfigError: something is wrong.
    """
    schema = _schema(root / SCHEMA)
    unreadable = list(_alias_findings(files)) or list(_file_findings(files)) or list(_shape_findings(config))
    if unreadable:  # nothing else may look at values without end
        raise ConfigError("\n".join(unreadable[:LISTED]))
    findings = [*_repeated_keys(files), *_schema_findings(config, schema)]
    if not findings:
        findings += _method_findings(config, methods, schema["$defs"]["training"])
        findings += _only_findings(config)
        findings += _people_findings(config)
        findings += _unread_findings(config, root, files)
        findings += _path_findings(config, root)
    if not findings:
        findings += _name_findings(config)
        findings += _length_findings(config)
        findings += _process_findings(config)
        entries = resolve(config, methods, files)
        findings += _part_findings(entries)
        findings += _twin_findings(entries)
        findings += memory.findings(config, entries, root)
    findings += _size_findings(config, {key for key, _ in findings})
    if findings:
        first: dict[Key, str] = {}
        for key, message in findings:
            first.setdefault(key, message)
        places = [(_content(file), file) for file in reversed(files)]
        lines = [f"{_place(key, config, places)} {message}" for key, message in list(first.items())[:LISTED]]
        more = [f"and {len(first) - LISTED} more"] if len(first) > LISTED else []
        raise ConfigError("\n".join(lines + more))


@cache
def _schema(file: Path) -> dict[str, Any]:
    """The schema; read once."""
    schema: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return schema


def check_folders(*folders: str) -> None:
    """Refuse folders of the project or of its results in whose paths Snakemake would see wildcards.

    Raises:
        ConfigError: a path has a brace.
    """
    for folder in folders:
        if re.search("[{}]", folder):
            raise ConfigError(
                f"{folder}: the path has a brace, which Snakemake takes for a wildcard; expected a path without; rename the folder"
            )


def resolve(config: Mapping[str, Any], methods: Catalogue, files: Sequence[Path] = ()) -> dict[str, Entry]:
    """The table's unlearning rows by name, each with ``unlearning`` overlaid by its own entry.

    Args:
        config: a configuration that :func:`check` has passed.
        methods: the methods there are.
        files: the files that were merged; rows stand in the order in which they are first named there (Snakemake
            puts those of a file that is laid over another first).
    """
    named = [name for file in files for name in _content(file).get("methods") or {}]
    entries = {}
    for name in dict.fromkeys([*(name for name in named if name in config["methods"]), *config["methods"]]):
        if not is_row(config, name):
            continue
        given = dict(config["methods"][name] or {})
        description = methods[given.pop("method", name)]
        defaults = {key: option.default for key, option in description.options.items()}
        entries[name] = Entry(name, description, plain(_overlay(config["unlearning"] | defaults, given)))
    return entries


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


# --- what may be wrong ------------------------------------------------------------------------------------------


def _alias_findings(files: Iterable[Path]) -> Iterator[str]:
    """YAML lets a value contain itself, or grow tenfold with every line; a plan would never be done with it."""

    def count(node: yaml.Node, counts: dict[int, float]) -> float:
        if id(node) not in counts:
            counts[id(node)] = math.inf  # until it is known: a node that contains itself
            parts = node.value if isinstance(node, yaml.SequenceNode | yaml.MappingNode) else []
            nodes = [part[1] if isinstance(part, tuple) else part for part in parts]
            counts[id(node)] = 1 + sum(count(part, counts) for part in nodes)
        return counts[id(node)]

    for file in files:
        try:
            node = yaml.compose(file.read_text(encoding="utf-8"))
            values = count(node, {}) if node is not None else 0
        except RecursionError:
            values = math.inf
        except (OSError, ValueError, yaml.YAMLError):
            continue  # said by _file_findings
        if values > MOST_VALUES:
            size = "contains itself (by an alias, *name)" if values == math.inf else f"has {values:.0f} values"
            yield f"{file.name}: {size}; expected at most {MOST_VALUES} values with all aliases written out"


def _content(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return content


def _file_findings(files: Iterable[Path]) -> Iterator[str]:
    """Snakemake reads files before this, with loaders that forgive more."""
    for file in files:
        try:
            content = _content(file)
        except (OSError, ValueError, yaml.YAMLError) as error:
            yield f"{file.name}: cannot be read ({' '.join(str(error).split())}); expected sections of YAML, as config.yaml"
        else:
            if not isinstance(content, Mapping):
                yield f"{file.name}: is {_shown(content)}; expected sections of YAML, as config.yaml"


def _shape_findings(config: Mapping[str, Any]) -> Iterator[str]:
    """The same of what did not come from files."""

    def deep(value: Any, depth: int) -> bool:
        parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else []
        return depth > 20 or any(deep(part, depth + 1) for part in parts)

    for key, value in config.items():
        if deep(value, 0):
            yield f"{_path_text((key,))} has lists or sections 20 deep; expected what config.yaml shows"


def _repeated_keys(files: Iterable[Path]) -> Iterator[tuple[Key, str]]:
    """YAML keeps the last of two equal keys without a word."""
    visited: set[int] = set()

    def walk(node: yaml.Node, path: Key) -> Iterator[tuple[Key, str]]:
        if id(node) in visited:  # an alias of what was looked at
            return
        visited.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                yield from walk(item, (*path, i))
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in seen:
                    lines = f"lines {seen[name]} and {line}"
                    yield (*path, name), f"is there twice ({lines}); expected once"
                seen[name] = line
                yield from walk(value, (*path, name))

    for file in files:
        node = yaml.compose(file.read_text(encoding="utf-8"))
        if node is not None:
            yield from walk(node, ())


def _schema_findings(value: Any, schema: Mapping[str, Any], at: Key = ()) -> Iterator[tuple[Key, str]]:
    # 5.0 is an integer to JSON Schema, but makes another result path than 5; and .nan is below no minimum.
    checker = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, v: type(v) is int,
            "number": lambda _, v: type(v) is int or type(v) is float and math.isfinite(v),
        }
    )
    extended = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        jsonschema.Draft202012Validator, type_checker=checker
    )
    validator = extended(schema)
    for error in sorted(validator.iter_errors(value), key=lambda error: [str(key) for key in error.absolute_path]):
        key = at + tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            known = list(error.schema.get("properties", {}))
            for extra in sorted(str(extra) for extra in error.instance if extra not in known):
                yield (*key, extra), _unknown("key", extra, known)
        elif error.validator == "required":
            for missing in error.validator_value:
                if missing not in error.instance:
                    yield (*key, missing), "is missing; expected it as in the project's config.yaml"
        else:
            yield key, f"is {_shown(error.instance)}; expected {error.schema['description']}{_hint(error.instance)}"


def _size_findings(value: Any, reported: set[Key], at: Key = ()) -> Iterator[tuple[Key, str]]:
    """Numbers beyond all sense, wherever they stand: they overflow late, or name a folder that cannot be made."""
    if at in reported:
        return
    if isinstance(value, Mapping | list | tuple):
        for key, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _size_findings(part, reported, (*at, key))
    elif type(value) in (int, float) and not abs(value) <= LARGEST:
        yield at, f"is {_shown(value)}; expected a number between -{LARGEST} and {LARGEST} (32 bits)"


def _only_findings(config: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    entries = [str(name) for name, given in config["methods"].items() if given is not False]
    for i, name in enumerate(config["only"] or []):
        if config["methods"].get(name) is False:
            yield ("only", i), f"is {_shown(name)}, and methods.{name} is false; expected one or the other"
        elif name not in config["methods"]:
            yield ("only", i), f"is {_shown(name)}, and that {_unknown('entry of methods', name, entries)}"


def _name_findings(config: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Snakemake takes a part of a path that ends in twenty times the same for a loop of its own."""
    names: dict[Key, str] = {("model", "name"): config["model"]["name"]}
    names |= {("methods", name): name for name in config["methods"] if is_row(config, name)}
    for key, name in names.items():
        if len(name) > 100:
            yield key, f"has a name of {len(name)} letters; expected at most 100, for the names of folders"
        elif match := re.search(r"(.+?)\1{19}$", name):
            yield (
                key,
                f"has a name that repeats {match[1]!r} twenty times; expected one without (Snakemake stops at it)",
            )


def _method_findings(
    config: Mapping[str, Any], methods: Catalogue, training: Mapping[str, Any]
) -> Iterator[tuple[Key, str]]:
    for name, given in config["methods"].items():
        at: Key = ("methods", name)
        if given is False:
            continue
        if not re.fullmatch(r"[a-z][a-z0-9_]*", str(name)) or name in RESERVED:
            words = f"small letters, digits and underscores, and none of {', '.join(RESERVED)}"
            yield at, f"is no name for a method's entry; expected {words}"
            continue
        given = dict(given or {})
        named = given.pop("method", name)
        if not isinstance(named, str) or named not in methods:
            if "method" in (config["methods"][name] or {}):
                yield (*at, "method"), f"is {_shown(named)}, and that {_unknown('method', named, list(methods))}"
            else:
                yield at, _unknown("method", named, list(methods))
            continue
        options = methods[named].options
        settings = {key: value for key, value in given.items() if key in training["properties"]}
        partial = {key: value for key, value in training.items() if key != "required"}
        yield from _schema_findings(settings, partial, at)
        for key in sorted(given.keys() - settings.keys(), key=str):
            if key not in options:
                known = list(options) + list(training["properties"])
                own = f"the options {', '.join(options)}" if options else "no options of its own"
                yield (*at, key), _unknown("option", key, known, f"{named} has {own}, and the keys of 'unlearning'")
            elif not options[key].accepts(given[key]):
                hint = _hint(given[key])
                yield (*at, key), f"is {_shown(given[key])}; expected {options[key].expected}{hint}"
        for key, option in options.items():
            if option.default is REQUIRED and key not in given:
                yield (*at, key), f"is missing; expected {option.expected}, {named} has no default for it"
        yield from _combination_findings(methods[named], given, at)


def _combination_findings(method: Description, given: Mapping[str, Any], at: Key) -> Iterator[tuple[Key, str]]:
    """What the method's file requires of several options, where each is right by itself."""
    values = {key: given.get(key, option.default) for key, option in method.options.items()}
    if all(method.options[key].accepts(value) for key, value in values.items()) and not method.accepts(values):
        shown = ", ".join(f"{key} {_shown(values[key])}" for key in method.required_options)
        yield at, f"has {shown}; {method.name} expected {method.requires}"


def _length_findings(config: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """How long a run trains is said in passes or in steps."""
    sections: dict[Key, Mapping[str, Any]] = {(name,): config[name] for name in ("finetune", "unlearning")}
    for name, given in config["methods"].items():
        if given and {"epochs", "steps"} & given.keys():
            sections["methods", name] = {**config["unlearning"], **given}
    for key, section in sections.items():
        epochs, steps = section.get("epochs"), section.get("steps")
        if (epochs is None) == (steps is None):
            yield (
                key,
                f"has epochs {_shown(epochs)} and steps {_shown(steps)}; expected one of them, and null for the other",
            )


def _process_findings(config: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Processes have a GPU each, where there are GPUs; weights are shared out among several."""
    sections: dict[Key, Mapping[str, Any]] = {(name,): config[name] for name in ("finetune", "unlearning")}
    for name, given in config["methods"].items():
        if given and {"num_processes", "shard"} & given.keys():
            sections["methods", name] = {**config["unlearning"], **given}
    for key, section in sections.items():
        rule = "finetune" if key == ("finetune",) else "unlearn"
        processes, gpus = section.get("num_processes", 1), config["resources"][rule]["gpu"]
        if gpus and processes > gpus:
            expected = f"expected at most resources.{rule}.gpu, a GPU each"
            yield (*key, "num_processes"), f"is {processes}, of jobs with {gpus} GPUs; {expected}"
        if section.get("shard") and processes == 1:
            yield (*key, "shard"), "is true with one process; expected num_processes of at least 2, or false"


def _part_findings(entries: Mapping[str, Entry]) -> Iterator[tuple[Key, str]]:
    """A loss that is no mean over examples is computed of the whole step at once."""
    for entry in entries.values():
        if refused := entry.method.needs.refused_parts(entry.settings):
            option, why = refused
            yield ("methods", entry.name, option), why


def _twin_findings(entries: Mapping[str, Entry]) -> Iterator[tuple[Key, str]]:
    seen: dict[str, str] = {}
    for entry in entries.values():
        twin = seen.setdefault(repr((entry.method.name, entry.settings)), entry.name)
        if twin != entry.name:
            expected = "expected another method or other settings"
            yield ("methods", entry.name), f"is the same run as methods.{twin} ({entry.method.name}); {expected}"


def _people_findings(config: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    benchmark = config["benchmark"]
    if benchmark["name"] != "synthetic":
        return
    people = benchmark["people"]
    for i, percent in enumerate(benchmark["forget_percents"]):
        if round(people * percent / 100) not in range(1, people):
            least = next(p for p in range(2, 10**6) if round(p * percent / 100) in range(1, p))
            yield (
                ("benchmark", "forget_percents", i),
                f"is {percent}; {percent} % of {people} people leaves nobody to forget or nobody to keep;"
                f" expected benchmark.people to be at least {least}, or another ratio",
            )


def _unread_findings(config: Mapping[str, Any], root: Path, files: Sequence[Path]) -> Iterator[tuple[Key, str]]:
    """Keys that are set and that nothing reads, because of what another key says.

    A file laid over the one that sets such a key may say so: another protocol over a preset, or a folder in place of a repository.
    """
    benchmark, model, evaluation = config["benchmark"], config["model"], config["evaluation"]
    name, protocol = benchmark["name"], evaluation["protocol"]
    unread: dict[Key, tuple[Key, str]] = {}

    def because(cause: Key, reason: str, section: str, keys: Iterable[str]) -> None:
        unread.update({(section, key): (cause, reason) for key in keys})

    named = ("benchmark", "name")
    if name == "synthetic":
        because(named, "benchmark.name is synthetic, which reads no files", "benchmark", ["path", "revision"])
    else:
        people = ["people", "celebrities", "seed"]
        because(named, f"benchmark.name is {name}, whose people are published", "benchmark", people)
        if benchmark["path"] is not None:
            reason = "benchmark.path names a folder, so that nothing is fetched"
            because(("benchmark", "path"), reason, "benchmark", ["revision"])
    if model["build"]:
        because(("model", "build"), "model.build is true, so that nothing is fetched", "model", ["revision"])
    else:
        if os.path.isdir(root / model["path"]):
            reason = "model.path names a folder, so that nothing is fetched"
            because(("model", "path"), reason, "model", ["revision"])
        because(("model", "build"), "model.build is false", "pretraining", config["pretraining"])
    settings = ("protocol", "batch_size", *protocols.SETTINGS[protocol])
    others = [key for key in evaluation if key not in settings]
    reason = f"evaluation.protocol is {protocol}, which goes by {', '.join(settings[2:])}"
    because(("evaluation", "protocol"), reason, "evaluation", others)
    contents = [_content(file) for file in files]
    for (section, key), (cause, reason) in ((map(str, read), why) for read, why in unread.items()):
        value = config[section][key]
        # What stands in the project's own config.yaml is a default.
        project = contents[0] if contents else config
        default = None if key in ("path", "revision") else project.get(section, {}).get(key)
        if value != default and _layer((section, key), config, contents) >= _layer(cause, config, contents):
            yield (section, key), f"is {_shown(value)}, and nothing reads it: {reason}; expected {_shown(default)}"


def _layer(key: Key, config: Mapping[str, Any], contents: Sequence[Mapping[str, Any]]) -> int:
    """Which file gives a key its value: its number, or one more than the last file's for the command line."""
    section, name = str(key[0]), str(key[1])
    value = config[section][name]
    for number, content in reversed(list(enumerate(contents))):
        part = content.get(section) or {}
        if name in part:
            return number if part[name] == value else len(contents)
    return len(contents)


def _path_findings(config: Mapping[str, Any], root: Path) -> Iterator[tuple[Key, str]]:
    benchmark, model = config["benchmark"], config["model"]
    paths = {("benchmark", "path"): benchmark["path"], ("model", "path"): model["path"]}
    paths["pretraining", "bystanders"] = config["pretraining"]["bystanders"]
    for key, path in paths.items():
        if path is not None and re.search(r"[{}\x00]", path):
            yield key, f"is {_shown(path)}; expected a path without braces, which Snakemake takes for wildcards"
            return
    if benchmark["name"] != "synthetic":
        path = benchmark["path"]
        if path is not None and not os.path.isdir(root / path):
            yield ("benchmark", "path"), f"is {_shown(path)}; expected the folder of the published files, or null"
        else:
            yield from _published_findings(benchmark["name"], path and root / path, benchmark["forget_percents"])
    yield from checkpoints.findings(model, root)
    if model["build"]:
        portraits = config["pretraining"]["bystanders"]
        if portraits is not None and not os.path.isfile(root / portraits):
            expected = "expected the file that tools/render_portraits.py makes, or null for a brief training without"
            yield ("pretraining", "bystanders"), f"is {_shown(portraits)}; {expected}"


def _published_findings(name: str, folder: Path | None, percents: Sequence[int]) -> Iterator[tuple[Key, str]]:
    repository = published.REPOSITORIES[name]
    if folder is None:
        known = published.PERCENTS[name]
        for i, percent in enumerate(percents):
            if percent not in known:
                ratios = ", ".join(map(str, known))
                yield (
                    ("benchmark", "forget_percents", i),
                    f"is {percent}; expected one of {ratios}, as {repository} has",
                )
        return
    missing = {
        wanted: p for wanted, p in published.folders(name, percents).items() if not published.shards(folder / wanted)
    }
    if always := [wanted for wanted, percent in missing.items() if percent is None]:
        lacks = f"is {_shown(str(folder))}, which has no files of {', '.join(always)}"
        yield ("benchmark", "path"), f"{lacks}; expected these folders of the data set {repository}"
    for wanted in published.folders(name, percents):
        for problem in published.shard_problems(folder / wanted):
            yield ("benchmark", "path"), f"is {_shown(str(folder))}: {problem}"
    for i, percent in enumerate(percents):
        if of_ratio := [wanted for wanted, p in missing.items() if p == percent]:
            has = ", ".join(sorted(path.name for path in folder.glob("forget*"))) or "no forget folder at all"
            lacks = f"is {percent}, but {folder} has no files of {', '.join(of_ratio)}"
            yield ("benchmark", "forget_percents", i), f"{lacks}; expected a published ratio, it has {has}"


# --- how it is said ---------------------------------------------------------------------------------------------


def _unknown(kind: str, found: object, known: Sequence[str], also: str = "") -> str:
    close = difflib.get_close_matches(str(found), known, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"is no known {kind}; {guess}{also or 'expected one of ' + ', '.join(known)}"


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a section"
    if type(value) is int and abs(value) > LARGEST**2:
        return f"a whole number of {value.bit_length()} bits"
    shown = reprlib.repr(value) if isinstance(value, list | tuple) else repr(value)
    return shown if len(shown) < 80 else f"{shown[:76]} ..."


def _hint(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+[eE][+-]?\d+", value):
        mantissa, exponent = re.split("[eE]", value)
        return f" (YAML takes {value} for a text; write {mantissa}.0e{exponent})"
    return ""


def _place(key: Key, config: Mapping[str, Any], places: Sequence[tuple[Any, Path]]) -> str:
    """``file: key.key[index]``, with the file that says it, or that says what lacks it."""
    path = _path_text(key)
    value, found = _look_up(config, key)
    depths = [(_look_up(content, key), file) for content, file in places]
    whole = [(other, file) for (other, depth), file in depths if depth == len(key)]
    said = [file for other, file in whole if other == value or isinstance(other, dict)]
    if found == len(key) and places and not said:
        return f"--config: {path}"
    deepest = max((depth for (_, depth), _ in depths), default=0)
    holding = [file for (_, depth), file in depths if depth == deepest]
    return f"{next(iter(said or holding), SCHEMA.with_name('config.yaml')).name}: {path}"


def _path_text(key: Key) -> str:
    path = ""
    for part in key:
        name = str(part) if re.fullmatch(r"[\w.-]{1,60}", str(part)) else _shown(part)
        path += f"[{part}]" if isinstance(part, int) else f".{name}" if path else name
    return path


def _look_up(content: Any, key: Key) -> tuple[Any, int]:
    """What lies at a key, or as far along it as there is something, and how far that is."""
    for i, part in enumerate(key):
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return content, i
    return content, len(key)
