"""Checks of names and paths."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unsee.benchmarks import published
from unsee.benchmarks.shards import find_shards, shard_problems
from unsee.jobs.config import ConfigError, Key, is_row
from unsee.jobs.config_files import shown
from unsee.jobs.input_files import BenchmarkFiles
from unsee.models import checkpoints


def check_folders(*folders: str) -> None:
    """Refuse folders, of the project or of its results, whose paths Snakemake would read as patterns.

    Raises:
        ConfigError: a path has a brace.
    """
    for folder in folders:
        if re.search("[{}]", folder):
            raise ConfigError(
                f"{folder}: the path has a brace, which Snakemake takes for a wildcard; expected a path without; rename the folder"
            )


def name_findings(config: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Check names that become folders; Snakemake takes a name that ends in twenty repetitions for an endless loop."""
    names: dict[Key, str] = {("model", "name"): config["model"]["name"]}
    names |= {("methods", name): name for name in config["methods"] if is_row(config, name)}
    names |= {("attacks", name): name for name, values in config["attacks"].items() if values is not False}
    for key, name in names.items():
        if len(name) > 100:
            yield key, f"has a name of {len(name)} letters; expected at most 100, for the names of folders"
        elif match := re.search(r"(.+?)\1{19}$", name):
            yield (
                key,
                f"has a name that repeats {match[1]!r} twenty times; expected one without (Snakemake stops at it)",
            )


def path_findings(config: Mapping[str, Any], root: Path) -> Iterator[tuple[Key, str]]:
    """Check that the files which paths name are there."""
    benchmark, model = config["benchmark"], config["model"]
    paths = {("benchmark", "path"): benchmark["path"], ("model", "path"): model["path"]}
    paths["pretraining", "bystanders"] = config["pretraining"]["bystanders"]
    for key, path in paths.items():
        if path is not None and re.search(r"[{}\x00]", path):
            yield key, f"is {shown(path)}; expected a path without braces, which Snakemake takes for wildcards"
            return
    if benchmark["name"] == "folder":
        yield from _folder_findings(benchmark, root)
    elif benchmark["name"] != "synthetic":
        path = benchmark["path"]
        if path is not None and not os.path.isdir(root / path):
            yield ("benchmark", "path"), f"is {shown(path)}; expected the folder of the published files, or null"
        else:
            files = BenchmarkFiles(benchmark, root)
            yield from _published_findings(benchmark["name"], path and root / path, files.ratios_to_check)
    shared = config["shared_models"]
    if shared is not None and not (os.path.isdir(shared) and os.access(shared, os.R_OK | os.X_OK)):
        yield ("shared_models",), f"is {shown(shared)}, which is no folder that can be read; expected one, or null"
    yield from checkpoints.findings(model, root)
    if model["build"]:
        portraits = config["pretraining"]["bystanders"]
        if portraits is not None and not os.path.isfile(root / portraits):
            expected = "expected the file that tools/render_portraits.py makes, or null for a brief training without"
            yield ("pretraining", "bystanders"), f"is {shown(portraits)}; {expected}"


def _folder_findings(benchmark: Mapping[str, Any], root: Path) -> Iterator[tuple[Key, str]]:
    """Check a folder's tables without its pictures, and that each ratio leaves people to forget and to retain."""
    path = benchmark["path"]
    if path is None or not os.path.isdir(root / path):
        yield ("benchmark", "path"), f"is {shown(path)}; expected a folder with people.csv (docs/your-own-people.md)"
        return
    try:
        people = len(published.person_ids(benchmark["name"], root / path) or [])
    except ValueError as error:  # a BenchmarkError, whose module planning imports for such a folder only
        yield ("benchmark", "path"), f"is {shown(path)}:\n{error}"
        return
    for i, percent in enumerate(benchmark["forget_percents"] if benchmark["forget"] is None else []):
        if round(people * percent / 100) not in range(1, people):
            expected = f"expected another ratio, such as {math.ceil(100 / people)}, or benchmark.forget"
            yield (
                ("benchmark", "forget_percents", i),
                f"is {percent}; {percent} % of {people} people leaves nobody to forget or nobody to keep; {expected}",
            )


def _published_findings(name: str, folder: Path | None, percents: Sequence[int]) -> Iterator[tuple[Key, str]]:
    repository = published.REPOSITORIES[name]
    if folder is None:
        ratios = published.PERCENTS[name]
        for i, percent in enumerate(percents):
            if percent not in ratios:
                names = ", ".join(map(str, ratios))
                yield (
                    ("benchmark", "forget_percents", i),
                    f"is {percent}; expected one of {names}, as {repository} has",
                )
        return
    missing = {wanted: p for wanted, p in published.folders(name, percents).items() if not find_shards(folder / wanted)}
    if always := [wanted for wanted, percent in missing.items() if percent is None]:
        lacks = f"is {shown(str(folder))}, which has no files of {', '.join(always)}"
        yield ("benchmark", "path"), f"{lacks}; expected these folders of the data set {repository}"
    for wanted in published.folders(name, percents):
        for problem in shard_problems(folder / wanted):
            yield ("benchmark", "path"), f"is {shown(str(folder))}: {problem}"
    for i, percent in enumerate(percents):
        if of_ratio := [wanted for wanted, p in missing.items() if p == percent]:
            has = ", ".join(sorted(path.name for path in folder.glob("forget*"))) or "no forget folder at all"
            lacks = f"is {percent}, but {folder} has no files of {', '.join(of_ratio)}"
            yield ("benchmark", "forget_percents", i), f"{lacks}; expected a published ratio, it has {has}"
