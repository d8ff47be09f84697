"""Checks of keys that depend on each other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unsee.benchmarks.published import draws_splits
from unsee.evaluation.protocols.load import load_protocol
from unsee.evaluation.settings import settings_of
from unsee.jobs.config import Key, content_of, layer_of
from unsee.jobs.config_files import shown
from unsee.jobs.config_keys import Finding
from unsee.jobs.resources import resources_of
from unsee.jobs.values import at as at_ratio

#: Keys that say nothing with these values, whatever the project's own config.yaml has.
_WITHOUT = {"path": None, "revision": None, "held_out": 0, "strangers": None}
#: The families that the prompts of a published protocol are written for, and that as a phrase.
_FAMILIES = {
    "mllmu-official": (("llava",), "llava, the only one that evaluation.protocol mllmu-official has prompts for"),
    "mmunlearner": (("llava", "qwen2_vl"), "llava or qwen2_vl, which evaluation.protocol mmunlearner has prompts for"),
}


def protocol_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that a published protocol has prompts for the benchmark and the family."""
    name, family = config["benchmark"]["name"], config["model"]["family"]
    protocol, shots = config["evaluation"]["protocol"], config["evaluation"]["shots"]
    if protocol == "unsee":
        return
    if name not in ("synthetic", "mllmu"):
        expected = "expected synthetic or mllmu, of which evaluation.protocol is a protocol"
        yield ("benchmark", "name"), f"is {shown(name)}; {expected}"
    families, expected = _FAMILIES[protocol]
    if family not in families:
        yield ("model", "family"), f"is {shown(family)}; expected {expected}"
    if (protocol, family) == ("mmunlearner", "qwen2_vl") and shots:
        expected = "expected 0: mmunlearner shows qwen2_vl one picture for all of its examples, which ends in an error"
        yield ("evaluation", "shots"), f"is {shots}; {expected}"


def example_findings(config: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Check that people to forget remain when a published protocol shows the questions of some as examples."""
    name, benchmark = config["evaluation"]["protocol"], config["benchmark"]
    if name == "unsee" or benchmark["name"] != "synthetic":
        return
    protocol: Any = load_protocol(config["evaluation"])
    most = max(protocol.example_people(task) for task in protocol.metrics)
    for i, percent in enumerate(benchmark["forget_percents"]):
        n = len(benchmark["forget"] or []) or round(benchmark["people"] * percent / 100)
        if n <= most:
            yield (
                ("benchmark", "forget_percents", i),
                f"is {percent}, {n} people, and {name} takes the questions of {most} of them as examples;"
                f" expected a ratio of more than {most} people, or evaluation.protocol: unsee",
            )


def people_findings(config: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Check that each ratio leaves people to forget and people to keep, and that an interval can be over those who are held out."""
    benchmark = config["benchmark"]
    if benchmark["held_out"] == 1 and benchmark["name"] != "synthetic":
        yield ("benchmark", "held_out"), "is 1; expected 0 for nobody, or at least 2: one person has no interval"
    if benchmark["forget"] is not None or benchmark["name"] != "synthetic":
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


def length_findings(config: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Check that each training run has either epochs or steps."""
    for key, section in _training_sections(config, {"epochs", "steps"}):
        epochs, steps = section["epochs"], section["steps"]
        if (epochs is None) == (steps is None):
            yield (
                key,
                f"has epochs {shown(epochs)} and steps {shown(steps)}; expected one of them, and null for the other",
            )


def process_findings(config: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Check that each process has a GPU, where a job has GPUs, and that weights are split among several processes."""
    for key, section in _training_sections(config, {"num_processes", "shard"}):
        processes = section["num_processes"]
        for rule in ("finetune", "train_reference") if key == ("finetune",) else ("unlearn", "tune"):
            gpus = resources_of(config, rule)["gpu"]
            if gpus and processes > gpus:
                expected = f"expected at most resources.{rule}.gpu, a GPU each"
                yield (*key, "num_processes"), f"is {processes}, of jobs with {gpus} GPUs; {expected}"
        if section["shard"] and processes == 1:
            yield (*key, "shard"), "is true with one process; expected num_processes of at least 2, or false"


def _training_sections(config: Mapping[str, Any], keys: set[str]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """The settings of every training: of each section, and of each entry that has one of these keys, at each ratio."""
    for section in ("finetune", "unlearning"):
        yield (section,), config[section]
    for name, values in config["methods"].items():
        if values and keys & values.keys():
            for percent in config["benchmark"]["forget_percents"]:
                yield ("methods", name), {**config["unlearning"], **at_ratio(values, percent)}


def unread_findings(config: Mapping[str, Any], root: Path, files: Sequence[Path]) -> Iterator[tuple[Key, str]]:
    """Check that no key is set in vain, because the value of another key has the effect that nothing reads it.

    A file may set the other key over one that sets the unread key: another protocol over a preset, or a folder in place of a repository.
    """
    benchmark, model, evaluation = config["benchmark"], config["model"], config["evaluation"]
    name, protocol = benchmark["name"], evaluation["protocol"]
    unread: dict[Key, tuple[Key, str]] = {}

    def because(cause: Key, reason: str, section: str, keys: Iterable[str]) -> None:
        unread.update({(section, key): (cause, reason) for key in keys})

    named = ("benchmark", "name")
    if name == "synthetic":
        because(named, "benchmark.name is synthetic, which reads no files", "benchmark", ["path", "revision"])
        reason = "benchmark.name is synthetic, which has strangers to compare with (membership.strangers)"
        because(named, reason, "benchmark", ["held_out"])
    else:
        kind = "in benchmark.path" if name == "folder" else "published"
        because(named, f"benchmark.name is {name}, whose people are {kind}", "benchmark", ["people", "celebrities"])
        reason = f"benchmark.name is {name}, of which benchmark.held_out people are compared with"
        because(named, reason, "membership", ["strangers"])
        if benchmark["held_out"]:
            pass  # benchmark.seed decides who
        elif not draws_splits(name):
            because(named, f"benchmark.name is {name}, whose splits are published", "benchmark", ["seed"])
        elif benchmark["forget"] is not None:
            because(("benchmark", "forget"), "benchmark.forget names the people to forget", "benchmark", ["seed"])
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
    for section in ("finetune", "unlearning"):
        entries = config["methods"].values() if section == "unlearning" else []
        if config[section]["warmup"] and not any("schedule" in (entry or {}) for entry in entries):
            keys = ["warmup"] if config[section]["schedule"] == "constant" else []
            because((section, "schedule"), f"{section}.schedule is constant", section, keys)
    settings = ("protocol", "batch_size", "tasks", *settings_of(protocol))
    others = [key for key in evaluation if key not in settings]
    reason = f"evaluation.protocol is {protocol}, which goes by {', '.join(settings[3:])}"
    because(("evaluation", "protocol"), reason, "evaluation", others)
    contents = [content_of(file) for file in files]
    for at, (cause, reason) in unread.items():
        section, key = map(str, at)
        value = config[section][key]
        # What stands in the project's own config.yaml is a default, but for these.
        project = contents[0] if contents else config
        default = _WITHOUT.get(key, project.get(section, {}).get(key))
        if value != default and layer_of((section, key), config, contents) >= layer_of(cause, config, contents):
            yield (section, key), f"is {shown(value)}, and nothing reads it: {reason}; expected {shown(default)}"
