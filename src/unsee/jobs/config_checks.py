"""The configuration, checked before any job starts.

Each check yields the key and the message of what is wrong; here they are put in order and made into one error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unsee import memory
from unsee.attacks import catalogue as attack_catalogue
from unsee.jobs import forget_request
from unsee.jobs.config import AttackEntry, ConfigError, Entry, Key, as_run, content_of, resolve, resolve_attacks
from unsee.jobs.config_attacks import attack_findings, attack_twin_findings, need_findings
from unsee.jobs.config_combinations import (
    example_findings,
    length_findings,
    people_findings,
    process_findings,
    protocol_findings,
    unread_findings,
)
from unsee.jobs.config_files import alias_findings, file_findings, place, repeated_keys, shape_findings
from unsee.jobs.config_keys import key_findings, size_findings
from unsee.jobs.config_methods import (
    layer_findings,
    method_findings,
    only_findings,
    part_findings,
    twin_findings,
    unread_setting_findings,
)
from unsee.jobs.config_model import model_findings
from unsee.jobs.config_paths import check_folders, name_findings, path_findings
from unsee.unlearning.catalogue import Catalogue

__all__ = ["check", "check_attacks", "check_folders", "check_memory"]

#: Problems that are listed; the rest is counted.
LISTED = 10


def check(
    config: Mapping[str, Any],
    methods: Catalogue,
    root: Path,
    files: Sequence[Path] = (),
    *,
    attacks: attack_catalogue.Catalogue | None = None,
) -> None:
    """Check a whole configuration without touching a file.

    Args:
        config: all files merged, as the workflow sees it.
        methods: the methods there are.
        root: the project folder, where relative paths start.
        files: the files that were merged, the project's own first, later ones win; they are read to say where a wrong key
            is, and what was set at all.
        attacks: the attacks there are; by default those of the library.

    Raises:
        ConfigError: something is wrong.
    """
    attacks = attack_catalogue.read() if attacks is None else attacks
    unreadable = list(alias_findings(files)) or list(file_findings(files)) or list(shape_findings(config))
    if unreadable:  # the other checks would not end
        raise ConfigError("\n".join(unreadable[:LISTED]))
    findings = [*repeated_keys(files), *key_findings(config, root)]
    findings = findings or [*protocol_findings(config)]
    if not findings:
        findings += method_findings(config, methods)
        findings += only_findings(config)
        findings += attack_findings(config, attacks)
        findings += people_findings(config)
        findings += unread_findings(config, root, files)
        findings += path_findings(config, root)
    findings = findings or [*forget_request.findings(config, root, files)]
    if not findings:
        findings += name_findings(config)
        findings += length_findings(config)
        findings += process_findings(config)
        findings += example_findings(config)
        entries = resolve(config, methods, files)
        percents = config["benchmark"]["forget_percents"]
        findings += [finding for run in as_run(entries, percents) for finding in part_findings(run)]
        findings += [f for run in as_run(entries, percents) for f in layer_findings(config, run, root)]
        findings += unread_setting_findings(config, entries, percents)
        findings += twin_findings(entries, percents)
        findings += attack_twin_findings(resolve_attacks(config, attacks, files))
        findings += model_findings(config, entries, root) or _memory_findings(config, entries, root, memory.LOADING)
    findings += size_findings(config, {key for key, _ in findings})
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
    _refuse(_memory_findings(config, entries, root, [rule]), config, files)


def _memory_findings(
    config: Mapping[str, Any], entries: Mapping[str, Entry], root: Path, rules: Sequence[str]
) -> list[tuple[Key, str]]:
    """What does not fit, with the settings of every ratio and trial."""
    runs = as_run(entries, config["benchmark"]["forget_percents"]) or [{}]
    return [finding for run in runs for finding in memory.findings(config, run, root, rules)]


def check_attacks(
    config: Mapping[str, Any],
    attacks: Mapping[str, AttackEntry],
    entries: Mapping[str, Entry],
    root: Path,
    files: Sequence[Path] = (),
) -> None:
    """Check what :func:`check` leaves out, since attacks run only when their files are requested.

    Args:
        config, root, files: as in :func:`check`, which has passed.
        attacks: the configuration's attacks.
        entries: its unlearning methods.

    Raises:
        ConfigError: benchmark or models lack what an attack needs, a ratio of ``robustness`` is not of the benchmark, or the
            GPU cannot hold a job.
    """
    findings = [*need_findings(config, attacks, entries)]
    beside = memory.largest_rank(config, entries)
    _refuse(findings or memory.attack_findings(config, attacks, root, beside=beside), config, files)


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
