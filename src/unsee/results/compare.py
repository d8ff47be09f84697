"""The differences between two results folders, and whether they hold the same: ``python -m unsee.results.compare A/ B/``.

To check an installation: ``python -m unsee.results.compare docs/reference results``. The exit code is 0 where the results are the same or
agree within their margins (:mod:`unsee.results.check`), 1 where they differ, 2 where there is nothing to compare.
Configuration and versions are read from the manifests that the jobs wrote. Where both folders have scores.parquet, which docs/reference
has not, scores are compared question by question too.
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

from unsee.results import check
from unsee.results.columns import SCORE, is_metric, metric_of, table_metrics
from unsee.results.statistics.differences import LEVEL, holm
from unsee.results.statistics.intervals import clustered_interval
from unsee.results.styles import label_of

_RUN = ["forget_percent", "method"]
COLUMNS = [*_RUN, *SCORE, "a", "b", "difference", "low", "high", "p", "p_holm", "n_questions", "n_people"]
_PERSON = ["name", "biography"]
_QUESTION = ["person_id", "question", "answer"]
#: The manifest of the results table, with ``configuration`` and ``versions``; older folders may not have one.
_TABLE_MANIFEST = "table3.manifest.json"


class CompareError(ValueError):
    """A folder has no results; the message names the folder and the missing file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the differences and the verdict; see :func:`report`."""
    parser = argparse.ArgumentParser(
        prog="python -m unsee.results.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", type=Path, help="a folder with results")
    parser.add_argument("b", type=Path, help="another folder with results")
    parser.add_argument("--all", action="store_true", help="every score, not only those that clearly differ")
    parsed = parser.parse_args(arguments)
    try:
        text, agrees = report(parsed.a, parsed.b, everything=parsed.all)
    except CompareError as error:
        print(error, file=sys.stderr)
        return 2
    print(text)
    return 0 if agrees else 1


def report(a: Path, b: Path, *, everything: bool = False) -> tuple[str, bool]:
    """The differences between two folders as text: configuration, versions, adapters, scores, and the verdict in the last line.

    Args:
        a, b: folders with scores.csv; what else they have is compared where both have it.
        everything: all scores, not only those that differ.

    Returns:
        The text, and whether the results are the same or agree.

    Raises:
        CompareError: a folder without results, or two without a model in common.
    """
    first, second = manifests(a), manifests(b)
    scores_a, scores_b = (pd.read_csv(_existing(folder / "scores.csv")) for folder in (a, b))
    runs_a, runs_b = check.runs_of(scores_a), check.runs_of(scores_b)
    settings = _changes(_settings(a, first, runs_b), _settings(b, second, runs_a))
    versions = _changes(_versions(a, first), _versions(b, second))
    lines = [f"A: {a}", f"B: {b}", "", "Configuration"]
    lines += _indented(_grouped(settings), "the same, as far as it was recorded")
    for name, here, there in (("A", runs_a, runs_b), ("B", runs_b, runs_a)):
        lines += [f"  only in {name}: {part}" for part in check.only_in_one(here, there)]
    lines += ["", "Versions", *_indented([f"{key}: {x} / {y}" for key, x, y in versions], "the same"), ""]
    if both := sorted(first.keys() & second.keys()):
        same = sum(first[run]["adapter_sha256"] == second[run]["adapter_sha256"] for run in both)
        lines += [f"Adapters: {same} of the {len(both)} in both folders are the same to the byte", ""]
    if all((folder / "scores.parquet").is_file() for folder in (a, b)):
        lines += [*_scores(a, b, everything), ""]
    try:
        names = dict.fromkeys(key.split("\0")[-1] for key, _, _ in settings)
        verdict = check.verdict(scores_a, scores_b, list(names))
    except ValueError as error:
        raise CompareError(f"{a} and {b}: {error}") from error
    shown = verdict.table if everything else verdict.table[verdict.table["outside"]]
    lines += [check.to_text(shown), ""] if len(shown) else []
    return "\n".join([*lines, verdict.sentence]), verdict.agrees


def manifests(folder: Path) -> dict[str, dict[str, Any]]:
    """The manifest.json of each run, by the run's path below the model's name; docs/reference has none."""
    return {
        "/".join(path.parts[-4:-1]): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((folder / "models").glob("*/*/*/*/manifest.json"))
    }


def compare(a: Path, b: Path) -> pd.DataFrame:
    """Compare the scores of the results table that both folders have, on the questions that they have in common.

    Questions are paired within seeds; if the folders have no seed in common, means over seeds are paired.

    Args:
        a, b: folders with scores.parquet and ``benchmark/``.

    Returns:
        One row for each ratio, method, set, modality, task and metric, with :data:`COLUMNS`: ``difference`` is B minus A in the
        metric's unit, its interval clustered by person and seed; ``p_holm`` is corrected over the scores of a ratio and method.

    Raises:
        CompareError: a folder without scores or benchmark.
    """
    first, second = _items(a), _items(b)
    in_common = _same_questions(a, b)
    rows: list[dict[str, Any]] = []
    for run, items in first.groupby(_RUN, sort=False, observed=True):
        others = second[(second["forget_percent"] == run[0]) & (second["method"] == run[1])]
        pairs = _paired(items[items["question_id"].isin(in_common)], others)
        scores = [(score, part) for score, part in pairs.groupby(list(SCORE), observed=True, sort=False) if len(part)]
        tests = [_test(part, metric_of(str(score[-2]), str(score[-1])).scale) for score, part in scores]
        corrected = holm(np.array([test["p"] for test in tests]))
        for (score, _), test, p in zip(scores, tests, corrected.tolist(), strict=True):
            rows.append(dict(zip([*_RUN, *SCORE], (*run, *score), strict=True)) | test | {"p_holm": p})
    return pd.DataFrame(rows, columns=COLUMNS)


def _paired(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The items of two runs with ``value_a`` and ``value_b``."""
    key = [*SCORE, "person_id", "question_id"]
    if set(first["seed"]) & set(second["seed"]):
        key.append("seed")
    else:
        first = first.groupby(key, observed=True)["value"].mean().reset_index().assign(seed=0)
        second = second.groupby(key, observed=True)["value"].mean().reset_index()
    return first.merge(second[[*key, "value"]], on=key, suffixes=("_a", "_b"))


def _test(part: pd.DataFrame, scale: float) -> dict[str, Any]:
    """The paired test of one score."""
    people = pd.factorize(part["person_id"])[0]
    differences = (part["value_b"] - part["value_a"]).to_numpy() * scale
    interval = clustered_interval(differences, people, seeds=part["seed"].to_numpy())
    return {
        "a": part["value_a"].mean() * scale,
        "b": part["value_b"].mean() * scale,
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "p": interval.p_value,
        "n_questions": part["question_id"].nunique(),
        "n_people": interval.n_clusters,
    }


def _scores(a: Path, b: Path, everything: bool) -> Iterator[str]:
    table = compare(a, b)
    if table.empty:
        yield "Scores: the folders have no question in common"
        return
    clear = table["p_holm"] < LEVEL
    yield (
        f"Scores: {clear.sum()} of {len(table)} differ (B minus A; paired by question, clustered by person, p < {LEVEL:g} after "
        "Holm's correction over a method's scores)"
    )
    shown = table if everything else table[clear]
    if len(shown):
        plain = shown.assign(method=[label_of(str(name)) for name in shown["method"]]).drop(
            columns=["p", "n_questions"]
        )
        yield plain.to_markdown(index=False, floatfmt=".3f", missingval="–")


def _items(folder: Path) -> pd.DataFrame:
    """The rows of scores.parquet that the results table is made of."""
    items = pd.read_parquet(_existing(folder / "scores.parquet"))
    items = items[is_metric(items, [(metric.task, metric.name) for metric in table_metrics()])]
    return items.astype(dict.fromkeys(["method", *SCORE, "person_id", "question_id"], str))


def _same_questions(a: Path, b: Path) -> set[str]:
    """The ids of the questions that are the same in both folders, about the same person."""
    common = []
    for name, key, columns in (("people", "person_id", _PERSON), ("questions", "question_id", _QUESTION)):
        one, other = (pd.read_parquet(_existing(folder / "benchmark" / f"{name}.parquet")) for folder in (a, b))
        common.append(one.merge(other, on=[key, *columns], suffixes=("", "_b")))
    people, questions = common
    return set(questions.loc[questions["person_id"].isin(people["person_id"]), "question_id"])


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise CompareError(
            f"{path}: not there; expected a folder of results, as `snakemake results/table3.csv` makes it"
        )
    return path


def _settings(folder: Path, runs: Mapping[str, Mapping[str, Any]], others: set[check.Run]) -> dict[str, Any]:
    """Every setting by name: those of the results table, and those of each run, after the run's name and a zero byte.

    Which ratios, seeds and methods a folder has is no setting; those of methods that the other folder lacks are left out.
    """
    configuration = dict(_table_manifest(folder).get("configuration", {}))
    configuration.pop("seeds", None)
    methods = {run.method for run in others}
    configuration["methods"] = {name: of for name, of in configuration.get("methods", {}).items() if name in methods}
    settings = dict(_flat(configuration, ""))
    settings.pop("benchmark.forget_percents", None)
    for run, manifest in runs.items():
        settings |= {f"{run}\0{key}": value for key, value in _flat(manifest["settings"], "")}
    return settings


def _table_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _TABLE_MANIFEST
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _versions(folder: Path, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The versions of each package that made the table or a run."""
    versions: dict[str, dict[str, None]] = {}
    for manifest in [_table_manifest(folder), *runs.values()]:
        for name, version in manifest.get("made", manifest).get("versions", {}).items():
            versions.setdefault(name, {})[str(version)] = None
    return {name: ", ".join(used) for name, used in sorted(versions.items())}


def _changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    absent = "(none)"
    runs = [{key.split("\0")[0] for key in side if "\0" in key} for side in (one, other)]
    keys = [key for key in dict.fromkeys([*one, *other]) if "\0" not in key or key.split("\0")[0] in runs[0] & runs[1]]
    return [(k, one.get(k, absent), other.get(k, absent)) for k in keys if one.get(k, absent) != other.get(k, absent)]


def _grouped(changes: Sequence[tuple[str, Any, Any]]) -> list[str]:
    """One line for each setting that differs, with the runs in which it differs."""
    runs: dict[tuple[str, str, str], list[str]] = {}
    for key, one, other in changes:
        run, _, setting = key.rpartition("\0")
        runs.setdefault((setting, str(one), str(other)), []).append(run)
    return [
        f"{setting}: {one} / {other}" + (f"  in {', '.join(names)}" if names != [""] else "")
        for (setting, one, other), names in runs.items()
    ]


def _indented(lines: Sequence[str], without: str) -> list[str]:
    """The lines, or ``without`` if there is none."""
    return [f"  {line}" for line in lines] or [f"  {without}"]


if __name__ == "__main__":
    sys.exit(main())
