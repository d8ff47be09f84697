"""What differs between two result folders: ``python -m unsee.results.compare A/ B/``.

Configuration and versions are read from what the jobs wrote beside their results; scores are compared question by question.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unsee.results.columns import label
from unsee.results.statistics import jackknife
from unsee.results.statistics.differences import LEVEL, holm
from unsee.results.statistics.intervals import clustered_interval

_RUN = ["forget_percent", "method"]
_CELL = ["set", "modality", "task", "metric"]
COLUMNS = [*_RUN, *_CELL, "a", "b", "difference", "low", "high", "p", "p_holm", "n_questions", "n_people"]
_PERSON = ["name", "biography"]
_QUESTION = ["person_id", "question", "answer"]
#: The record of the whole table, if there is one: its ``configuration`` and ``versions``.
_RECORD = "table3.manifest.json"


class CompareError(ValueError):
    """A folder that holds no results; the message names it and what is missing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what differs; see :func:`report`."""
    parser = argparse.ArgumentParser(prog="python -m unsee.results.compare", description=__doc__)
    parser.add_argument("a", type=Path, help="a folder with results")
    parser.add_argument("b", type=Path, help="another")
    parser.add_argument("--all", action="store_true", help="every score, not only those that clearly differ")
    given = parser.parse_args(arguments)
    try:
        print(report(given.a, given.b, everything=given.all))
    except CompareError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def report(a: Path, b: Path, *, everything: bool = False) -> str:
    """What differs between two folders, to read: configuration, versions, adapters, scores.

    Args:
        a, b: folders with scores.parquet, ``benchmark/`` and ``models/``.
        everything: all scores, not only those that differ by the paired test.

    Raises:
        CompareError: a folder without results.
    """
    first, second = manifests(a), manifests(b)
    lines = [f"A: {a}", f"B: {b}", "", "Configuration"]
    lines += _listed(
        _grouped(_changes(_settings(a, first), _settings(b, second))), "the same, as far as it was recorded"
    )
    for name, own, other in (("A", first, second), ("B", second, first)):
        if alone := sorted(own.keys() - other.keys()):
            lines.append(f"  only in {name}: {', '.join(alone)}")
    lines += ["", "Versions"]
    lines += _listed([f"{k}: {x} / {y}" for k, x, y in _changes(_versions(a, first), _versions(b, second))], "the same")
    both = sorted(first.keys() & second.keys())
    same = sum(first[run]["adapter_sha256"] == second[run]["adapter_sha256"] for run in both)
    lines += ["", f"Adapters: {same} of the {len(both)} that both have are the same to the byte", ""]
    return "\n".join([*lines, *_scores(a, b, everything)])


def manifests(folder: Path) -> dict[str, dict[str, Any]]:
    """manifest.json of each run, by the run's path below the model's name.

    Raises:
        CompareError: there is none.
    """
    found = {
        "/".join(path.parts[-4:-1]): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((folder / "models").glob("*/*/*/*/manifest.json"))
    }
    if not found:
        raise CompareError(f"{folder}: no models/*/*/*/*/manifest.json; expected a folder of results")
    return found


def compare(a: Path, b: Path) -> pd.DataFrame:
    """Each score that both folders have of the same questions, B's less A's, a row a ratio, method and cell.

    Accuracies in percent, ROUGE-L 0 to 1. Question by question of the same seeds (of none in common: means over seeds), the
    intervals clustered by person and seed; ``p_holm`` is corrected over the cells of a ratio and method.

    Raises:
        CompareError: a folder without scores or benchmark.
    """
    first, second = _answers(a), _answers(b)
    asked = _same_questions(a, b)
    rows: list[dict[str, Any]] = []
    for run, own in first.groupby(_RUN, sort=False, observed=True):
        other = second[(second["forget_percent"] == run[0]) & (second["method"] == run[1])]
        pairs = _paired(own[own["question_id"].isin(asked)], other)
        tests = [(cell, part) for cell, part in pairs.groupby(_CELL, observed=True, sort=False) if len(part)]
        found = [_row(part, 100.0 if cell[-1] == "accuracy" else 1.0) for cell, part in tests]
        corrected = holm(np.array([row["p"] for row in found]))
        for (cell, _), row, p in zip(tests, found, corrected.tolist(), strict=True):
            rows.append(dict(zip([*_RUN, *_CELL], (*run, *cell), strict=True)) | row | {"p_holm": p})
    return pd.DataFrame(rows, columns=COLUMNS)


def _paired(own: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    key = [*_CELL, "person_id", "question_id"]
    if set(own["seed"]) & set(other["seed"]):
        key.append("seed")
    else:
        own = own.groupby(key, observed=True)["value"].mean().reset_index().assign(seed=0)
        other = other.groupby(key, observed=True)["value"].mean().reset_index()
    return own.merge(other[[*key, "value"]], on=key, suffixes=("_a", "_b"))


def _row(part: pd.DataFrame, scale: float) -> dict[str, Any]:
    people = pd.factorize(part["person_id"])[0]
    values = (part["value_b"] - part["value_a"]).to_numpy() * scale
    found = clustered_interval(values, people, seeds=part["seed"].to_numpy())
    means = {"a": part["value_a"].mean() * scale, "b": part["value_b"].mean() * scale}
    ends = {"difference": found.mean, "low": found.low, "high": found.high, "p": found.p_value}
    return means | ends | {"n_questions": part["question_id"].nunique(), "n_people": found.n_clusters}


def _scores(a: Path, b: Path, everything: bool) -> Iterator[str]:
    table = compare(a, b)
    if table.empty:
        yield "Scores: no question is the same in both, nothing to compare"
        return
    clear = table["p_holm"] < LEVEL
    yield (
        f"Scores: {clear.sum()} of {len(table)} differ (B less A; paired by question, clustered by person, p < {LEVEL:g} after "
        "Holm's correction over a method's scores)"
    )
    shown = table if everything else table[clear]
    if len(shown):
        plain = shown.assign(method=[label(str(name)) for name in shown["method"]]).drop(columns=["p", "n_questions"])
        yield plain.to_markdown(index=False, floatfmt=".3f", missingval="–")


def _answers(folder: Path) -> pd.DataFrame:
    items = pd.read_parquet(_there(folder / "scores.parquet"))
    chosen = items[jackknife.chosen(items, items["set"].unique().tolist(), jackknife.SHOWN)]
    return chosen.astype(dict.fromkeys(["method", *_CELL, "person_id", "question_id"], str))


def _same_questions(a: Path, b: Path) -> set[str]:
    """The ids of the questions that are the same in both, about the same person."""
    found = []
    for name, key, columns in (("people", "person_id", _PERSON), ("questions", "question_id", _QUESTION)):
        one, other = (pd.read_parquet(_there(folder / "benchmark" / f"{name}.parquet")) for folder in (a, b))
        found.append(one.merge(other, on=[key, *columns], suffixes=("", "_b")))
    people, questions = found
    return set(questions.loc[questions["person_id"].isin(people["person_id"]), "question_id"])


def _there(path: Path) -> Path:
    if not path.is_file():
        raise CompareError(
            f"{path}: not there; expected a folder of results, as `snakemake results/table3.csv` makes it"
        )
    return path


def _settings(folder: Path, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Every setting by its name: of the whole table if it was recorded, and of each run."""
    record = folder / _RECORD
    whole = json.loads(record.read_text(encoding="utf-8")).get("configuration", {}) if record.is_file() else {}
    found = dict(_flat(whole, ""))
    for run, manifest in runs.items():
        found |= {f"{run}\0{key}": value for key, value in _flat(manifest["settings"], "")}
    return found


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _versions(folder: Path, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    record = folder / _RECORD
    given = [json.loads(record.read_text(encoding="utf-8"))] if record.is_file() else []
    found: dict[str, dict[str, None]] = {}
    for manifest in [*given, *runs.values()]:
        for name, version in manifest.get("versions", {}).items():
            found.setdefault(name, {})[str(version)] = None
    return {name: ", ".join(versions) for name, versions in sorted(found.items())}


def _changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    absent = "(none)"
    runs = [{key.split("\0")[0] for key in side if "\0" in key} for side in (one, other)]
    keys = [key for key in dict.fromkeys([*one, *other]) if "\0" not in key or key.split("\0")[0] in runs[0] & runs[1]]
    return [(k, one.get(k, absent), other.get(k, absent)) for k in keys if one.get(k, absent) != other.get(k, absent)]


def _grouped(changes: Sequence[tuple[str, Any, Any]]) -> list[str]:
    """One line a setting that changed, with the runs that it changed in."""
    runs: dict[tuple[str, str, str], list[str]] = {}
    for key, one, other in changes:
        run, _, setting = key.rpartition("\0")
        runs.setdefault((setting, str(one), str(other)), []).append(run)
    return [
        f"{setting}: {one} / {other}" + (f"  in {', '.join(names)}" if names != [""] else "")
        for (setting, one, other), names in runs.items()
    ]


def _listed(lines: Sequence[str], nothing: str) -> list[str]:
    return [f"  {line}" for line in lines] or [f"  {nothing}"]


if __name__ == "__main__":
    sys.exit(main())
