"""scores.csv from item scores, against a plain recomputation."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from unsee.benchmarks.schema import BenchmarkError
from unsee.results.statistics.intervals import bootstrap_t_interval, clustered_interval
from unsee.results.tables.scores import COLUMNS, OVER_SEEDS_COLUMNS, gather, over_seeds, summarise

KEY = ["model", "forget_percent", "method", "seed", "set", "modality", "task", "metric"]
CELLS = 4 * 2 * (3 + 1 + 4)  # sets, modalities, metrics of the tasks


def scores_of(*arguments: Any) -> pd.DataFrame:
    return summarise(gather(*arguments))


def _set_of(origin: str, person: str, forgotten: set[str]) -> str | None:
    if origin == "celebrity":
        return "celebrity"
    if person in forgotten:
        return {"profile": "forget", "test": "test"}[origin]
    return "retain" if origin == "profile" else None


def test_equals_a_plain_recomputation(world: Any) -> None:
    scores = scores_of(world.runs, world.questions, world.splits, (10, 20)).set_index(KEY)
    assert scores.index.is_unique
    # Vanilla at both ratios, retain and two methods at each, two seeds.
    assert len(scores) == 2 * (2 + 2 * 3) * CELLS
    for run in world.runs:
        for percent in (10, 20) if run.method == "vanilla" else (run.forget_percent,):
            roles = world.splits[world.splits["forget_percent"] == percent]
            forgotten = set(roles.loc[roles["role"] == "forget", "person_id"])
            table = world.items[str(run)].merge(world.questions)
            table["set"] = [_set_of(o, p, forgotten) for o, p in zip(table["origin"], table["person_id"], strict=True)]
            for (name, modality, task, metric), part in table.groupby(["set", "modality", "task", "metric"]):
                row = scores.loc[("tiny", percent, run.method, run.seed, name, modality, task, metric)]
                scale = 100 if metric == "accuracy" else 1
                assert row["value"] == pytest.approx(scale * part["value"].mean())
                assert (row["n_questions"], row["n_people"]) == (len(part), part["person_id"].nunique())
                interval = clustered_interval(part["value"].to_numpy(), part["person_id"].to_numpy())
                assert (row["low"], row["high"]) == pytest.approx((scale * interval.low, scale * interval.high))


def test_over_seeds_people_and_seeds_are_crossed(world: Any) -> None:
    items = gather(world.runs, world.questions, world.splits, (10, 20))
    table = over_seeds(items)
    assert table.columns.tolist() == OVER_SEEDS_COLUMNS
    assert len(table) == 2 * 4 * CELLS and set(table["n_seeds"]) == {2}
    row = table[(table["method"] == "zeta") & (table["set"] == "retain") & (table["metric"] == "bleu")].iloc[0]
    part = items[(items["method"] == "zeta") & (items["set"] == "retain") & (items["metric"] == "bleu")]
    part = part[(part["forget_percent"] == row["forget_percent"]) & (part["modality"] == row["modality"])]
    interval = clustered_interval(
        part["value"].to_numpy(), part["person_id"].to_numpy(str), seeds=part["seed"].to_numpy()
    )
    assert row[["value", "low", "high"]].tolist() == pytest.approx([interval.mean, interval.low, interval.high])
    assert (row["n_questions"], row["n_people"]) == (part["question_id"].nunique(), part["person_id"].nunique())
    # With one seed nothing is crossed.
    one = items[items["seed"] == 0]
    assert over_seeds(one)["high"].tolist() == pytest.approx(summarise(one)["high"].tolist(), nan_ok=True)


def test_bootstrap_t_is_an_option(world: Any) -> None:
    items = gather(world.runs[1:2], world.questions, world.splits, (10,))
    items = items[items["metric"] == "rouge_l"]
    plain, drawn = summarise(items), summarise(items, "bootstrap_t")
    assert plain["value"].tolist() == drawn["value"].tolist()
    part = items[(items["set"] == "retain") & (items["modality"] == "text")]
    interval = bootstrap_t_interval(part["value"].to_numpy(), part["person_id"].to_numpy(str))
    row = drawn[(drawn["set"] == "retain") & (drawn["modality"] == "text")].iloc[0]
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert not (plain["low"] == drawn["low"]).any()


def test_columns_and_order(world: Any) -> None:
    scores = scores_of(world.runs, world.questions, world.splits, (20, 10))
    assert scores.columns.tolist() == COLUMNS
    runs = scores[["forget_percent", "method", "seed"]].drop_duplicates().to_numpy().tolist()
    assert runs[:4] == [[20, "vanilla", 0], [10, "vanilla", 0], [10, "retain", 0], [10, "zeta", 0]]
    assert scores["set"].iloc[:CELLS].drop_duplicates().tolist() == ["forget", "test", "retain", "celebrity"]
    assert scores["value"].notna().all()


def test_counts(world: Any) -> None:
    scores = scores_of(world.runs[:1], world.questions, world.splits, (10, 20))
    part = scores[(scores["modality"] == "image") & (scores["task"] == "cloze")]
    people = part.set_index(["forget_percent", "set"])["n_people"].to_dict()
    assert {name: people[10, name] for name in ("forget", "test", "retain", "celebrity")} == {
        "forget": 2,
        "test": 2,
        "retain": 18,
        "celebrity": 5,
    }
    assert people[20, "forget"] == 4
    assert (part["n_questions"] == 2 * part["n_people"]).all()


def test_the_same_inputs_in_another_order_give_the_same_numbers(world: Any, tmp_path: Path) -> None:
    run = world.runs[2]
    other = replace(run, scores=[tmp_path / "items.parquet"])
    world.items[str(run)].sample(frac=1, random_state=9).to_parquet(other.scores[0])
    first = scores_of([run], world.questions, world.splits, (10, 20))
    again = scores_of([other], world.questions, world.splits, (10, 20))
    pd.testing.assert_frame_equal(first, again, check_exact=True)


def test_missing_scores_are_counted_and_the_run_is_named(world: Any, tmp_path: Path) -> None:
    run = replace(world.runs[2], scores=[tmp_path / "items.parquet"])
    items = world.items[str(run)]
    items[~items["question_id"].str.startswith("profile/003/image/cloze")].to_parquet(run.scores[0])
    expected = f"{tmp_path}, run tiny/forget10/zeta/seed0: no score for 2 of the "
    with pytest.raises(ValueError, match=re.escape(expected) + ".*'profile/003/image/cloze/0'.*run again"):
        scores_of([run], world.questions, world.splits, (10, 20))


@pytest.mark.parametrize("fault", ["no bleu", "not a number"])
def test_one_missing_metric_is_a_missing_score(world: Any, tmp_path: Path, fault: str) -> None:
    run = replace(world.runs[2], scores=[tmp_path / "items.parquet"])
    items = world.items[str(run)].copy()
    mask = (items["question_id"] == "profile/003/image/generation/1") & (items["metric"] == "bleu")
    items.loc[mask, "value"] = float("nan")
    (items[~mask] if fault == "no bleu" else items).to_parquet(run.scores[0])
    with pytest.raises(ValueError, match="no score for 1 of the .*'profile/003/image/generation/1'"):
        scores_of([run], world.questions, world.splits, (10, 20))


def test_a_run_at_another_ratio_lacks_test_questions(world: Any) -> None:
    run = replace(world.runs[2], forget_percent=20)
    with pytest.raises(ValueError, match="run tiny/forget20/zeta/seed0: no score for 48 of the .* at 20 %"):
        scores_of([run], world.questions, world.splits, (10, 20))


def test_repeated_scores_are_refused(world: Any, tmp_path: Path) -> None:
    run = replace(world.runs[0], scores=[tmp_path / "items.parquet"])
    items = world.items[str(run)]
    pd.concat([items, items.head(1)]).to_parquet(run.scores[0])
    with pytest.raises(ValueError, match=r"has more than one .* \(1 such\); expected one"):
        scores_of([run], world.questions, world.splits, (10, 20))


def test_an_unknown_ratio_is_refused(world: Any) -> None:
    with pytest.raises(BenchmarkError, match=r"no people at 15 %; expected one of \[10, 20\]"):
        scores_of(world.runs[:1], world.questions, world.splits, (15,))


def test_many_runs_take_seconds(world: Any) -> None:
    """22 runs of 24 cells each, vanilla's at two ratios; about a second."""
    start = time.process_time()
    scores_of(world.runs[:11] * 2, world.questions, world.splits, (10, 20))
    assert time.process_time() - start < 10


def test_results_need_no_model_library() -> None:
    code = (
        "import sys, unsee.evaluation.scoring, unsee.results.tables.scores, unsee.results.tables.table3, unsee.results.tables.costs, "
        "unsee.results.statistics.intervals; print(sorted({'torch', 'transformers', 'nltk', 'statsmodels'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
