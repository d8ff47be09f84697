"""All runs' scores in one tidy table, and the single answers' in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unsee.benchmarks.schema import SETS
from unsee.benchmarks.splits import assign_sets
from unsee.evaluation.protocol import Protocol
from unsee.evaluation.protocols.load import load_protocol
from unsee.results.statistics.intervals import INTERVALS, clustered_interval

_RUN = ["model", "forget_percent", "method", "seed"]
_CELL = ["set", "modality", "task", "metric"]
_SCORE = ["value", "low", "high", "n_questions", "n_people"]
COLUMNS = [*_RUN, *_CELL, *_SCORE]
OVER_SEEDS_COLUMNS = [*_RUN[:-1], *_CELL, "value", "low", "high", "n_seeds", "n_questions", "n_people"]
ITEM_COLUMNS = [*_RUN, *_CELL, "person_id", "question_id", "value"]


@dataclass(frozen=True)
class Run:
    """One model run; vanilla has ``forget_percent`` 0 and counts at every ratio."""

    model: str
    forget_percent: int
    method: str
    seed: int
    item_scores: Path

    def __str__(self) -> str:
        return f"{self.model}/forget{self.forget_percent}/{self.method}/seed{self.seed}"


def gather(
    runs: Sequence[Run],
    questions: pd.DataFrame,
    splits: pd.DataFrame,
    forget_percents: Sequence[int],
    protocol: Protocol | None = None,
) -> pd.DataFrame:
    """scores.parquet: one row a run, ratio, question and metric; ``value`` is 0 to 1.

    Vanilla's answers stand at every ratio, in the sets that they count for there.

    Args:
        runs: in the order in which their rows shall stand.
        questions: the questions table.
        splits: the splits table.
        forget_percents: the ratios at which vanilla's rows stand, in order.
        protocol: the protocol; by default ours.

    Raises:
        ValueError: a run has no score, or two, for a question and metric of its sets.
        BenchmarkError: a ratio is not in the splits table.
    """
    percents = {*forget_percents, *(run.forget_percent for run in runs if run.forget_percent)}
    protocol = protocol or load_protocol({})
    expected = {percent: _expected(questions, splits, percent, protocol) for percent in sorted(percents)}
    frames = []
    for run in runs:
        items = pd.read_parquet(run.item_scores)
        for percent in forget_percents if run.forget_percent == 0 else [run.forget_percent]:
            joined = _join(run, percent, expected[percent], items)
            frames.append(_label(joined, (run.model, percent, run.method, run.seed))[ITEM_COLUMNS])
    texts = ["model", "method", *_CELL, "person_id", "question_id"]
    return pd.concat(frames, ignore_index=True).astype(dict.fromkeys(texts, "category"))


def summarise(items: pd.DataFrame, interval: str = "cluster_t") -> pd.DataFrame:
    """scores.csv: one row a run, ratio, set, modality, task and metric.

    Accuracies are in percent, the others 0 to 1. ``low`` and ``high`` are the ends of a 95 % interval for ``value``,
    clustered by person; NaN where a set has one person.

    Args:
        items: as :func:`gather` gives them.
        interval: ``cluster_t`` or ``bootstrap_t``.
    """
    items = items.assign(person=pd.factorize(items["person_id"])[0])  # numbers sort faster
    frames = []
    for key, part in items.groupby(_RUN, sort=False, observed=True):
        frames.append(_label(_summary(part, interval), list(key))[COLUMNS])
    return pd.concat(frames, ignore_index=True)


def over_seeds(items: pd.DataFrame) -> pd.DataFrame:
    """scores_over_seeds.csv: the same over all seeds of a run, whose intervals are of people and seeds crossed.

    With one seed these are the scores of that seed.

    Args:
        items: as :func:`gather` gives them.
    """
    items = items.assign(person=pd.factorize(items["person_id"])[0])
    rows = []
    for run, own in items.groupby(_RUN[:-1], sort=False, observed=True):
        cells = sorted(own.groupby(_CELL, observed=True), key=lambda cell: SETS.index(str(cell[0][0])))
        for cell, part in cells:
            scale = 100.0 if cell[-1] == "accuracy" else 1.0
            seeds = part["seed"].to_numpy()
            found = clustered_interval(part["value"].to_numpy() * scale, part["person"].to_numpy(), seeds=seeds)
            n = (part["seed"].nunique(), part["question_id"].nunique(), found.n_clusters)
            rows.append((*run, *cell, found.mean, found.low, found.high, *n))
    return pd.DataFrame(rows, columns=OVER_SEEDS_COLUMNS)


def collect(
    runs: Sequence[Run], questions: pd.DataFrame, splits: pd.DataFrame, forget_percents: Sequence[int]
) -> pd.DataFrame:
    """:func:`summarise` of :func:`gather`."""
    return summarise(gather(runs, questions, splits, forget_percents))


def _expected(questions: pd.DataFrame, splits: pd.DataFrame, percent: int, protocol: Protocol) -> pd.DataFrame:
    """Every question and metric that a run at a ratio is scored by."""
    keys = questions[["question_id", "person_id", "origin", "modality", "task"]]
    left = keys["question_id"].isin(protocol.excluded(keys, splits, percent))
    asked = keys[~left].assign(set=assign_sets(keys[~left], splits, percent)).dropna(subset="set")
    metrics = pd.DataFrame(
        [(task, metric) for task, names in protocol.metrics.items() for metric in names], columns=["task", "metric"]
    )
    return asked.merge(metrics, on="task")


def _join(run: Run, percent: int, expected: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    key = ["question_id", "metric"]
    repeated = items[items.duplicated(key)]
    if len(repeated):
        raise ValueError(
            f"{run.item_scores}, run {run}: {repeated['question_id'].iloc[0]!r} has more than one "
            f"{repeated['metric'].iloc[0]} ({len(repeated)} such); expected one, delete the file and run again"
        )
    scored = expected.merge(items, on=key, how="left")
    missing = scored.loc[scored["value"].isna(), "question_id"].unique()
    if len(missing):
        raise ValueError(
            f"{run.item_scores}, run {run}: no score for {len(missing)} of the {expected['question_id'].nunique()} "
            f"questions at {percent} %, the first is {missing[0]!r}; expected one for each, delete the run's "
            "predictions.parquet and run again"
        )
    return scored


def _label(table: pd.DataFrame, run: Sequence[Any]) -> pd.DataFrame:
    for name, value in zip(_RUN, run, strict=True):
        table[name] = value
    return table


def _summary(scored: pd.DataFrame, kind: str) -> pd.DataFrame:
    rows, find = [], INTERVALS[kind]
    for cell, part in scored.groupby(_CELL, observed=True):
        scale = 100.0 if cell[-1] == "accuracy" else 1.0
        interval = find(part["value"].to_numpy() * scale, part["person"].to_numpy())
        rows.append((*cell, interval.mean, interval.low, interval.high, len(part), interval.n_clusters))
    rows.sort(key=lambda row: SETS.index(str(row[0])))
    return pd.DataFrame(rows, columns=[*_CELL, *_SCORE])
