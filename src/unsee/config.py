"""The configuration: checked before any job starts, and each method's settings put together.

The schema (``workflow/schemas/config.schema.yaml``) says what single keys may be; here is what takes more than one
key, and what turns either's findings into a sentence: which file and key, what was found, what was expected.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from unsee import memory
from unsee.benchmarks import published
from unsee.unlearning.catalogue import REQUIRED, Catalogue, Description

SCHEMA = Path("workflow/schemas/config.schema.yaml")

#: Rows of every table that are no unlearning method; no entry may have such a name.
RESERVED = ("base", "vanilla", "retain")

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
        files: the files that were merged, later ones win; they are only read to say where a wrong key is.

    Raises:
        ConfigError: something is wrong.
    """
    schema = yaml.safe_load((root / SCHEMA).read_text(encoding="utf-8"))
    found: list[tuple[Key, str]] = list(_repeated_keys(files))
    found += _schema_findings(config, schema)
    if not found:
        found += _method_findings(config, methods, schema["$defs"]["training"])
        found += _people_findings(config)
        found += _path_findings(config, root)
    if not found:
        found += _length_findings(config)
        found += _process_findings(config)
        entries = resolve(config, methods, files)
        found += _twin_findings(entries)
        found += memory.findings(config, entries, root)
    if found:
        places = [(yaml.safe_load(file.read_text(encoding="utf-8")), file) for file in reversed(files)]
        raise ConfigError("\n".join(f"{_place(key, config, places)} {message}" for key, message in found))


def resolve(config: Mapping[str, Any], methods: Catalogue, files: Sequence[Path] = ()) -> dict[str, Entry]:
    """The table's unlearning rows by name, each with ``unlearning`` overlaid by its own entry.

    Args:
        config: a configuration that :func:`check` has passed.
        methods: the methods there are.
        files: the files that were merged; rows stand in the order in which they are first named there (Snakemake
            puts those of a file that is laid over another first).
    """
    contents = [yaml.safe_load(file.read_text(encoding="utf-8")) or {} for file in files]
    named = [name for content in contents for name in content.get("methods") or {}]
    entries = {}
    for name in dict.fromkeys([*(name for name in named if name in config["methods"]), *config["methods"]]):
        given = config["methods"][name]
        if given is False:
            continue
        given = dict(given or {})
        description = methods[given.pop("method", name)]
        defaults = {key: option.default for key, option in description.options.items()}
        entries[name] = Entry(name, description, plain(_overlay(config["unlearning"] | defaults, given)))
    return entries


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


def _repeated_keys(files: Iterable[Path]) -> Iterator[tuple[Key, str]]:
    """YAML keeps the last of two equal keys without a word."""

    def walk(node: yaml.Node, path: Key) -> Iterator[tuple[Key, str]]:
        if isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                yield from walk(item, (*path, i))
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in seen:
                    lines = f"lines {seen[key.value]} and {line}"
                    yield (*path, key.value), f"is there twice ({lines}); expected once"
                seen[key.value] = line
                yield from walk(value, (*path, key.value))

    for file in files:
        node = yaml.compose(file.read_text(encoding="utf-8"))
        if node is not None:
            yield from walk(node, ())


def _schema_findings(value: Any, schema: Mapping[str, Any], at: Key = ()) -> Iterator[tuple[Key, str]]:
    # 5.0 is an integer to JSON Schema, but makes another result path than 5; and .nan is below no minimum.
    checker = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, v: type(v) is int,
            "number": lambda _, v: type(v) in (int, float) and math.isfinite(v),
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


def _path_findings(config: Mapping[str, Any], root: Path) -> Iterator[tuple[Key, str]]:
    benchmark, model = config["benchmark"], config["model"]
    if benchmark["name"] != "synthetic":
        path = benchmark["path"]
        if path is not None and not (root / path).is_dir():
            yield ("benchmark", "path"), f"is {_shown(path)}; expected the folder of the published files, or null"
        else:
            yield from _published_findings(benchmark["name"], path and root / path, benchmark["forget_percents"])
    # "owner/name" may be a published checkpoint in a local cache; anything else is a folder.
    published = re.fullmatch(r"[\w.-]+/[\w.-]+", model["path"]) and not (root / model["path"]).is_dir()
    if not model["build"] and not published and not (root / model["path"] / "config.json").is_file():
        lacks = f"is {_shown(model['path'])}, which has no config.json"
        yield ("model", "path"), f"{lacks}; expected a checkpoint folder"
    pickled = sorted(path.name for path in (root / model["path"]).glob("*.bin"))
    if not model["build"] and pickled and not list((root / model["path"]).glob("*.safetensors")):
        lacks = f"is {_shown(model['path'])}, whose weights are pickled ({pickled[0]})"
        yield ("model", "path"), f"{lacks}; expected *.safetensors, for unpickling can run anything"
    if model["build"]:
        portraits = config["pretraining"]["bystanders"]
        if portraits is not None and not (root / portraits).is_file():
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
    shown = repr(value)
    return shown if len(shown) < 80 else f"{shown[:76]} ..."


def _hint(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+[eE][+-]?\d+", value):
        mantissa, exponent = re.split("[eE]", value)
        return f" (YAML takes {value} for a text; write {mantissa}.0e{exponent})"
    return ""


def _place(key: Key, config: Mapping[str, Any], places: Sequence[tuple[Any, Path]]) -> str:
    """``file: key.key[index]``, with the file that says it, or that says what lacks it."""
    path = ""
    for part in key:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    value, found = _look_up(config, key)
    depths = [(_look_up(content, key), file) for content, file in places]
    whole = [(other, file) for (other, depth), file in depths if depth == len(key)]
    said = [file for other, file in whole if other == value or isinstance(other, dict)]
    if found == len(key) and places and not said:
        return f"--config: {path}"
    deepest = max((depth for (_, depth), _ in depths), default=0)
    holding = [file for (_, depth), file in depths if depth == deepest]
    return f"{next(iter(said or holding), SCHEMA.with_name('config.yaml')).name}: {path}"


def _look_up(content: Any, key: Key) -> tuple[Any, int]:
    """What lies at a key, or as far along it as there is something, and how far that is."""
    for i, part in enumerate(key):
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return content, i
    return content, len(key)
