"""A small benchmark and its runs, with only the tables that results are computed from: questions, splits and item scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from unsee.benchmarks.schema import MODALITIES
from unsee.evaluation.protocols.unsee import Unsee
from unsee.results.tables.scores import Run

METRICS = {task: Unsee.metrics[task] for task in ("classification", "generation", "cloze")}
PERCENTS = (10, 20)
METHODS = ("zeta", "alpha")
SEEDS = (0, 1)


@dataclass(frozen=True)
class World:
    """Tables and runs; ``items`` are the item scores of each run, by the run's name."""

    questions: pd.DataFrame
    splits: pd.DataFrame
    runs: list[Run]
    items: dict[str, pd.DataFrame]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """20 people and 5 celebrities; two ratios, two methods, two seeds."""
    people = [f"{i:03}" for i in range(20)]
    origins = [(p, origin) for p in people for origin in ("profile", "test")]
    origins += [(f"celebrity-{i}", "celebrity") for i in range(5)]
    questions = pd.DataFrame(
        [
            (f"{origin}/{person}/{modality}/{task}/{i}", person, origin, modality, task)
            for person, origin in origins
            for modality in MODALITIES
            for task in METRICS
            for i in range(2)
        ],
        columns=["question_id", "person_id", "origin", "modality", "task"],
    )
    forgotten = {10: people[3:5], 20: people[6:10]}
    splits = pd.DataFrame(
        [(percent, p, "forget" if p in forgotten[percent] else "retain") for percent in PERCENTS for p in people],
        columns=["forget_percent", "person_id", "role"],
    )
    folder = tmp_path_factory.mktemp("runs")
    runs, items = [], {}
    for seed in SEEDS:
        for percent, method in [(0, "vanilla"), *((p, m) for p in PERCENTS for m in ("retain", *METHODS))]:
            run = Run("tiny", percent, method, seed, [folder / f"{percent}-{method}-{seed}.parquet"])
            tested = set(sum(forgotten.values(), [])) if percent == 0 else set(forgotten[percent])
            table = _items(questions[(questions["origin"] != "test") | questions["person_id"].isin(tested)], len(runs))
            table.to_parquet(run.scores[0], index=False)
            runs.append(run)
            items[str(run)] = table
    return World(questions, splits, runs, items)


def _items(questions: pd.DataFrame, seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    rows = [
        (question_id, metric, float(draw.random() < 0.5) if metric == "accuracy" else draw.random())
        for question_id, task in zip(questions["question_id"], questions["task"], strict=True)
        for metric in METRICS[task]
    ]
    return pd.DataFrame(rows, columns=["question_id", "metric", "value"]).sample(frac=1, random_state=seed)
