"""The configuration, checked before any job starts.

The schema (``workflow/schemas/config.schema.yaml``) says what single keys may be; here is what takes more than one
key, and what turns either's findings into a sentence: which file and key, what is there, what was expected.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from unsee import memory
from unsee.benchmarks import published
from unsee.evaluation import protocols
from unsee.evaluation.protocols.load import load_protocol
from unsee.jobs.config import ConfigError, Entry, Key, content_of, is_row, resolve
from unsee.jobs.config_files import (
    LARGEST,
    alias_findings,
    file_findings,
    hint,
    place,
    repeated_keys,
    shape_findings,
    shown,
    unknown,
)
from unsee.models import checkpoints
from unsee.unlearning.catalogue import REQUIRED, Catalogue, Description

SCHEMA = Path("workflow/schemas/config.schema.yaml")

#: Rows of every table that are no unlearning method; no entry may have such a name.
RESERVED = ("base", "vanilla", "retain")
#: Problems that are listed; the rest is counted.
LISTED = 10


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
    unreadable = list(alias_findings(files)) or list(file_findings(files)) or list(shape_findings(config))
    if unreadable:  # nothing else may look at values without end
        raise ConfigError("\n".join(unreadable[:LISTED]))
    findings = [*repeated_keys(files), *_schema_findings(config, schema)]
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
        findings += _protocol_findings(config)
        entries = resolve(config, methods, files)
        findings += _part_findings(entries)
        findings += _twin_findings(entries)
        findings += memory.findings(config, entries, root)
    findings += _size_findings(config, {key for key, _ in findings})
    _refuse(findings, config, files)


def check_memory(
    rule: str, config: Mapping[str, Any], entries: Mapping[str, Entry], root: Path, files: Sequence[Path] = ()
) -> None:
    """Check the memory of a rule that :func:`check` leaves out, since it runs only when its files are requested.

    Args:
        rule: one of :data:`unsee.memory.ON_REQUEST`.
        config, root, files: as in :func:`check`, which has passed.
        entries: the configuration's unlearning methods.

    Raises:
        ConfigError: the rule's GPU or its host memory cannot hold the job.
    """
    _refuse(memory.findings(config, entries, root, [rule]), config, files)


def _refuse(findings: Iterable[tuple[Key, str]], config: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Raise the first finding of each key, if there is one."""
    first: dict[Key, str] = {}
    for key, message in findings:
        first.setdefault(key, message)
    if first:
        places = [(content_of(file), file) for file in reversed(files)]
        lines = [f"{place(key, config, places)} {message}" for key, message in list(first.items())[:LISTED]]
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
                yield (*key, extra), unknown("key", extra, known)
        elif error.validator == "required":
            for missing in error.validator_value:
                if missing not in error.instance:
                    yield (*key, missing), "is missing; expected it as in the project's config.yaml"
        else:
            yield key, f"is {shown(error.instance)}; expected {error.schema['description']}{hint(error.instance)}"


def _size_findings(value: Any, reported: set[Key], at: Key = ()) -> Iterator[tuple[Key, str]]:
    """Numbers beyond all sense, wherever they stand: they overflow late, or name a folder that cannot be made."""
    if at in reported:
        return
    if isinstance(value, Mapping | list | tuple):
        for key, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _size_findings(part, reported, (*at, key))
    elif type(value) in (int, float) and not abs(value) <= LARGEST:
        yield at, f"is {shown(value)}; expected a number between -{LARGEST} and {LARGEST} (32 bits)"


def _only_findings(config: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    entries = [str(name) for name, given in config["methods"].items() if given is not False]
    for i, name in enumerate(config["only"] or []):
        if config["methods"].get(name) is False:
            yield ("only", i), f"is {shown(name)}, and methods.{name} is false; expected one or the other"
        elif name not in config["methods"]:
            yield ("only", i), f"is {shown(name)}, and that {unknown('entry of methods', name, entries)}"


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
                yield (*at, "method"), f"is {shown(named)}, and that {unknown('method', named, list(methods))}"
            else:
                yield at, unknown("method", named, list(methods))
            continue
        options = methods[named].options
        settings = {key: value for key, value in given.items() if key in training["properties"]}
        partial = {key: value for key, value in training.items() if key != "required"}
        yield from _schema_findings(settings, partial, at)
        for key in sorted(given.keys() - settings.keys(), key=str):
            if key not in options:
                known = list(options) + list(training["properties"])
                own = f"the options {', '.join(options)}" if options else "no options of its own"
                yield (*at, key), unknown("option", key, known, f"{named} has {own}, and the keys of 'unlearning'")
            elif not options[key].accepts(given[key]):
                mistake = hint(given[key])
                yield (*at, key), f"is {shown(given[key])}; expected {options[key].expected}{mistake}"
        for key, option in options.items():
            if option.default is REQUIRED and key not in given:
                yield (*at, key), f"is missing; expected {option.expected}, {named} has no default for it"
        yield from _combination_findings(methods[named], given, at)


def _combination_findings(method: Description, given: Mapping[str, Any], at: Key) -> Iterator[tuple[Key, str]]:
    """What the method's file requires of several options, where each is right by itself."""
    values = {key: given.get(key, option.default) for key, option in method.options.items()}
    if all(method.options[key].accepts(value) for key, value in values.items()) and not method.accepts(values):
        settings = ", ".join(f"{key} {shown(values[key])}" for key in method.required_options)
        yield at, f"has {settings}; {method.name} expected {method.requires}"


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
                f"has epochs {shown(epochs)} and steps {shown(steps)}; expected one of them, and null for the other",
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


def _protocol_findings(config: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Whose questions are a published protocol's examples is asked about nothing else; somebody must be left."""
    name, benchmark = config["evaluation"]["protocol"], config["benchmark"]
    if name == "unsee" or benchmark["name"] != "synthetic":
        return
    protocol: Any = load_protocol(config["evaluation"])
    most = max(protocol.example_people(task) for task in protocol.metrics)
    for i, percent in enumerate(benchmark["forget_percents"]):
        n = round(benchmark["people"] * percent / 100)
        if n <= most:
            yield (
                ("benchmark", "forget_percents", i),
                f"is {percent}, {n} people, and {name} takes the questions of {most} of them as examples;"
                f" expected a ratio of more than {most} people, or evaluation.protocol: unsee",
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
    contents = [content_of(file) for file in files]
    for at, (cause, reason) in unread.items():
        section, key = map(str, at)
        value = config[section][key]
        # What stands in the project's own config.yaml is a default.
        project = contents[0] if contents else config
        default = None if key in ("path", "revision") else project.get(section, {}).get(key)
        if value != default and _layer((section, key), config, contents) >= _layer(cause, config, contents):
            yield (section, key), f"is {shown(value)}, and nothing reads it: {reason}; expected {shown(default)}"


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
            yield key, f"is {shown(path)}; expected a path without braces, which Snakemake takes for wildcards"
            return
    if benchmark["name"] != "synthetic":
        path = benchmark["path"]
        if path is not None and not os.path.isdir(root / path):
            yield ("benchmark", "path"), f"is {shown(path)}; expected the folder of the published files, or null"
        else:
            yield from _published_findings(benchmark["name"], path and root / path, benchmark["forget_percents"])
    yield from checkpoints.findings(model, root)
    if model["build"]:
        portraits = config["pretraining"]["bystanders"]
        if portraits is not None and not os.path.isfile(root / portraits):
            expected = "expected the file that tools/render_portraits.py makes, or null for a brief training without"
            yield ("pretraining", "bystanders"), f"is {shown(portraits)}; {expected}"


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
        lacks = f"is {shown(str(folder))}, which has no files of {', '.join(always)}"
        yield ("benchmark", "path"), f"{lacks}; expected these folders of the data set {repository}"
    for wanted in published.folders(name, percents):
        for problem in published.shard_problems(folder / wanted):
            yield ("benchmark", "path"), f"is {shown(str(folder))}: {problem}"
    for i, percent in enumerate(percents):
        if of_ratio := [wanted for wanted, p in missing.items() if p == percent]:
            has = ", ".join(sorted(path.name for path in folder.glob("forget*"))) or "no forget folder at all"
            lacks = f"is {percent}, but {folder} has no files of {', '.join(of_ratio)}"
            yield ("benchmark", "forget_percents", i), f"{lacks}; expected a published ratio, it has {has}"
