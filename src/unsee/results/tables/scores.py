"""The scores of all runs: of single answers (scores.parquet), of runs (scores.csv), over seeds (scores_over_seeds.csv)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from unsee.benchmarks.schema import SETS
from unsee.benchmarks.splits import assign_sets
from unsee.evaluation.protocol import Protocol
from unsee.evaluation.protocols.load import load_protocol
from unsee.evaluation.settings import TASKS, task_of
from unsee.results.columns import RUN, SCORE, metric_of
from unsee.results.statistics.intervals import INTERVALS, clustered_interval

COLUMNS = [*RUN, *SCORE, "value", "low", "high", "n_questions", "n_people"]
OVER_SEEDS_COLUMNS = [*RUN[:-1], *SCORE, "value", "low", "high", "n_seeds", "n_questions", "n_people"]
ITEM_COLUMNS = [*RUN, *SCORE, "person_id", "question_id", "value"]


@dataclass(frozen=True)
class Run:
    """One model of the table and its scored answers.

    Attributes:
        model, method, seed: as in the tables.
        forget_percent: the ratio; 0 for the base model and vanilla, which count at every ratio.
        scores: the scores of its answers, one file per task.
    """

    model: str
    forget_percent: int
    method: str
    seed: int
    scores: Sequence[Path]

    def __str__(self) -> str:
        return f"{self.model}/forget{self.forget_percent}/{self.method}/seed{self.seed}"


def gather(
    runs: Sequence[Run],
    questions: pd.DataFrame,
    splits: pd.DataFrame,
    forget_percents: Sequence[int],
    protocol: Protocol | None = None,
    tasks: Sequence[str] = TASKS,
) -> pd.DataFrame:
    """The rows of scores.parquet.

    Args:
        runs: in the order of their rows.
        questions: the questions table.
        splits: the splits table.
        forget_percents: the ratios at which the rows of the base model and vanilla are repeated, in order.
        protocol: the protocol; by default this project's own.
        tasks: the evaluated tasks.

    Returns:
        One row for each run, ratio, question and metric, with :data:`ITEM_COLUMNS`; ``value`` is 0 to 1. A run of ratio 0 stands at
        every ratio, with the questions that are asked there.

    Raises:
        ValueError: a run has no score, or two, for a question and metric.
        BenchmarkError: a ratio is not in the splits table.
    """
    percents = {*forget_percents, *(run.forget_percent for run in runs if run.forget_percent)}
    protocol = protocol or load_protocol({})
    questions = questions[questions["task"].map(task_of).isin(tasks)]
    expected = {percent: _expected(questions, splits, percent, protocol) for percent in sorted(percents)}
    frames = []
    for run in runs:
        scores = pd.concat([pd.read_parquet(file) for file in run.scores], ignore_index=True)
        for percent in forget_percents if run.forget_percent == 0 else [run.forget_percent]:
            items = _join(run, percent, expected[percent], scores)
            items = items.assign(model=run.model, forget_percent=percent, method=run.method, seed=run.seed)
            frames.append(items[ITEM_COLUMNS])
    texts = ["model", "method", *SCORE, "person_id", "question_id"]
    return pd.concat(frames, ignore_index=True).astype(dict.fromkeys(texts, "category"))


def summarise(items: pd.DataFrame, interval: str = "cluster_t") -> pd.DataFrame:
    """The rows of scores.csv: means over questions with 95 % intervals, clustered by person.

    Args:
        items: the table of :func:`gather`.
        interval: ``cluster_t`` or ``bootstrap_t``.

    Returns:
        One row for each run, ratio, set, modality, task and metric, with :data:`COLUMNS`: ``value``, ``low`` and ``high`` in the
        metric's unit; the ends are NaN where a set has one person.
    """
    compute = INTERVALS[interval]
    rows = []
    for keys, part in _cells(items, RUN):
        result = compute(_values(part, keys), part["person"].to_numpy())
        rows.append((*keys, result.mean, result.low, result.high, len(part), result.n_clusters))
    return pd.DataFrame(rows, columns=COLUMNS)


def over_seeds(items: pd.DataFrame) -> pd.DataFrame:
    """The rows of scores_over_seeds.csv: means over questions and seeds, with intervals of people and seeds crossed.

    Args:
        items: the table of :func:`gather`.

    Returns:
        As for :func:`summarise`, over all seeds of a run, with :data:`OVER_SEEDS_COLUMNS`. With one seed the values are that seed's.
    """
    rows = []
    for keys, part in _cells(items, RUN[:-1]):
        result = clustered_interval(_values(part, keys), part["person"].to_numpy(), seeds=part["seed"].to_numpy())
        counts = (part["seed"].nunique(), part["question_id"].nunique(), result.n_clusters)
        rows.append((*keys, result.mean, result.low, result.high, *counts))
    return pd.DataFrame(rows, columns=OVER_SEEDS_COLUMNS)


def _cells(items: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[tuple[object, ...], pd.DataFrame]]:
    """The items of each run and score, with ``person`` as a number, by run and then by set."""
    items = items.assign(person=pd.factorize(items["person_id"])[0])  # numbers sort faster than names
    for run, of_run in items.groupby(list(keys), sort=False, observed=True):
        cells = of_run.groupby(list(SCORE), observed=True)
        for score, part in sorted(cells, key=lambda cell: SETS.index(str(cell[0][0]))):
            yield (*run, *score), part


def _values(part: pd.DataFrame, keys: Sequence[object]) -> np.ndarray:
    """The values of a cell in its metric's unit."""
    return part["value"].to_numpy() * metric_of(str(keys[-2]), str(keys[-1])).scale


def _expected(questions: pd.DataFrame, splits: pd.DataFrame, percent: int, protocol: Protocol) -> pd.DataFrame:
    """Every question and metric by which a run of this ratio is scored."""
    keys = questions[["question_id", "person_id", "origin", "modality", "task"]]
    excluded = keys["question_id"].isin(protocol.excluded(keys, splits, percent))
    included = keys[~excluded].assign(set=assign_sets(keys[~excluded], splits, percent)).dropna(subset="set")
    metrics = pd.DataFrame(
        [(task, metric) for task, names in protocol.metrics.items() for metric in names], columns=["task", "metric"]
    )
    return included.merge(metrics, on="task")


def _join(run: Run, percent: int, expected: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The expected questions and metrics with their values."""
    key = ["question_id", "metric"]
    repeated = scores[scores.duplicated(key)]
    if len(repeated):
        raise ValueError(
            f"{_folder(run)}, run {run}: {repeated['question_id'].iloc[0]!r} has more than one "
            f"{repeated['metric'].iloc[0]} ({len(repeated)} such); expected one, delete the file and run again"
        )
    scored = expected.merge(scores, on=key, how="left")
    missing = scored.loc[scored["value"].isna(), "question_id"].unique()
    if len(missing):
        raise ValueError(
            f"{_folder(run)}, run {run}: no score for {len(missing)} of the {expected['question_id'].nunique()} "
            f"questions at {percent} %, the first is {missing[0]!r}; expected one for each, delete the run's "
            "predictions and run again"
        )
    return scored


def _folder(run: Run) -> Path:
    """Where a run's scores lie."""
    return run.scores[0].parent
