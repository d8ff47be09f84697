"""All runs' scores in one tidy table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from unsee.benchmarks.schema import SETS
from unsee.benchmarks.splits import assign_sets
from unsee.results.intervals import clustered_interval


@dataclass(frozen=True)
class Run:
    """One model run; vanilla has ``forget_percent`` 0 and counts at every ratio."""

    model: str
    forget_percent: int
    method: str
    seed: int
    item_scores: Path


def collect(
    runs: Sequence[Run], questions: pd.DataFrame, splits: pd.DataFrame, forget_percents: Sequence[int]
) -> pd.DataFrame:
    """scores.csv: one row a run, ratio, set, modality, task and metric.

    Accuracies are in percent, overlaps 0 to 1; ``low`` and ``high`` bound the mean at 95 %, clustered by person.

    Args:
        runs: in the order in which their rows shall stand.
        questions: the questions table.
        splits: the splits table.
        forget_percents: the ratios, in order.

    Raises:
        ValueError: a run has no score for a question of its sets.
    """
    keys = questions[["question_id", "person_id", "origin", "modality", "task"]]
    frames = []
    for run in runs:
        items = pd.read_parquet(run.item_scores)
        for percent in forget_percents if run.forget_percent == 0 else [run.forget_percent]:
            asked = keys.assign(set=assign_sets(keys, splits, percent)).dropna(subset="set")
            missing = asked[~asked["question_id"].isin(items["question_id"])]
            if len(missing):
                raise ValueError(
                    f"{run.item_scores}: no score for {missing['question_id'].iloc[0]!r} ({len(missing)} such); "
                    "delete the run's predictions.parquet and run again"
                )
            scored = asked.merge(items, on="question_id")
            frames.append(_summary(scored).assign(model=run.model, forget_percent=percent, method=run.method, seed=run.seed))
    columns = ["model", "forget_percent", "method", "seed", "set", "modality", "task", "metric", "value", "low", "high"]
    return pd.concat(frames, ignore_index=True)[[*columns, "n_questions", "n_people"]]


def _summary(scored: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (name, modality, task, metric), part in scored.groupby(["set", "modality", "task", "metric"]):
        scale = 100.0 if metric == "accuracy" else 1.0
        values = part["value"].to_numpy() * scale
        low, high = clustered_interval(values, part["person_id"].to_numpy())
        rows.append((name, modality, task, metric, values.mean(), low, high, len(part), part["person_id"].nunique()))
    columns = ["set", "modality", "task", "metric", "value", "low", "high", "n_questions", "n_people"]
    table = pd.DataFrame(rows, columns=columns)
    order = {name: i for i, name in enumerate(SETS)}
    return table.sort_values(by="set", key=lambda column: column.map(order), kind="stable")
