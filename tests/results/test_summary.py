"""Forgetting, utility and the combined score against a plain recomputation, and for models that are easy to judge."""

from __future__ import annotations

import itertools
from statistics import harmonic_mean
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unsee.results.statistics.differences import differences
from unsee.results.statistics.forget_quality import forget_quality
from unsee.results.statistics.intervals import clustered_interval
from unsee.results.statistics.jackknife import standard_error
from unsee.results.tables.files import to_markdown
from unsee.results.tables.scores import gather
from unsee.results.tables.summary import COLUMNS, note, summary

SHOWN = {"classification": "accuracy", "generation": "rouge_l", "cloze": "accuracy"}


@pytest.fixture(scope="module")
def items(world: Any) -> pd.DataFrame:
    """The retain-only model knows nothing about the forgotten people, vanilla everything."""
    items = gather(world.runs, world.questions, world.splits, (10, 20))
    ratio, forgotten = items["metric"] == "truth_ratio", items["set"].isin(["forget", "test"])
    items["value"] = items["value"].where(~ratio, items["value"] / 2)
    knows = np.where(ratio, 0.05, 1.0)
    ignorant = np.where(ratio, 0.5 + items["value"] / 4, items["value"] / 4)
    items["value"] = items["value"].mask((items["method"] == "vanilla") & forgotten, knows)
    items["value"] = items["value"].mask((items["method"] == "retain") & forgotten, ignorant)
    return items


@pytest.fixture(scope="module")
def table(items: pd.DataFrame) -> pd.DataFrame:
    return summary(items, differences(items), ["alpha"])


def test_shape_and_order(table: pd.DataFrame) -> None:
    assert table.columns.tolist() == COLUMNS
    assert table["method"].tolist() == ["vanilla", "retain", "alpha", "zeta"] * 2
    assert table["forget_percent"].tolist() == [10] * 4 + [20] * 4


@pytest.mark.parametrize("percent", [10, 20])
@pytest.mark.parametrize("method", ["zeta", "alpha"])
def test_equals_a_plain_recomputation(items: pd.DataFrame, table: pd.DataFrame, percent: int, method: str) -> None:
    here = items[items["forget_percent"] == percent]

    def mean(name: str, group: str, modality: str, task: str, metric: str) -> Any:
        part = here[(here["method"] == name) & (here["set"] == group) & (here["modality"] == modality)]
        return part.loc[(part["task"] == task) & (part["metric"] == metric), "value"]

    def distance(name: str) -> float:
        cells = itertools.product(["forget", "test"], ["image", "text"], SHOWN.items())
        return sum(abs(mean(name, g, m, *t).mean() - mean("retain", g, m, *t).mean()) for g, m, t in cells)

    def utility(name: str) -> float:
        parts = []
        for group, modality in itertools.product(["retain", "celebrity"], ["image", "text"]):
            bounded = mean(name, group, modality, "classification", "truth_ratio")
            ratio = bounded / (1 - bounded)
            parts += [
                mean(name, group, modality, "classification", "probability").mean(),
                (1 - ratio).clip(lower=0).mean(),
                mean(name, group, modality, "generation", "rouge_l").mean(),
            ]
        return harmonic_mean(parts)

    (row,) = table[(table["forget_percent"] == percent) & (table["method"] == method)].to_dict("records")
    forgetting = max(0.0, 1 - distance(method) / distance("vanilla"))
    kept = min(1.0, utility(method) / utility("retain"))
    assert row["forgetting"] == pytest.approx(forgetting)
    assert row["utility"] == pytest.approx(utility(method))
    assert row["utility_kept"] == pytest.approx(kept)
    assert row["combined"] == pytest.approx(harmonic_mean([forgetting, kept]))
    assert row["forgetting_low"] < row["forgetting"] < row["forgetting_high"]
    ratios = here[(here["method"] == method) & (here["set"] == "forget") & (here["metric"] == "truth_ratio")]
    assert row["truth_ratio"] == pytest.approx(ratios["value"].mean())


def test_what_methods_see_and_the_best_of_those_that_see_the_same(items: pd.DataFrame, table: pd.DataFrame) -> None:
    sees = {"alpha": {10: "forget", 20: "forget"}, "zeta": {10: "forget", 20: "forget, retain-only"}}
    rows = summary(items, differences(items), ["alpha"], sees).set_index(["forget_percent", "method"])
    assert rows.loc[10, "sees"].fillna("").tolist() == ["", "", "forget", "forget"]
    best = rows.loc[10].loc[["alpha", "zeta"], "combined"].idxmax()
    assert rows.loc[10].loc[["alpha", "zeta"], "best_alike"].tolist() == [best, best]
    # Two methods only: within is the same as across.
    across = rows.loc[10, "p_against_best"].to_list()
    assert rows.loc[10, "p_against_best_alike"].to_list() == pytest.approx(across, nan_ok=True)
    assert rows.loc[20, ["best_alike", "p_against_best_alike"]].isna().all(axis=None)
    assert table["sees"].isna().all()


def test_the_ends_of_the_scale(table: pd.DataFrame) -> None:
    ends = table.set_index(["method", "forget_percent"])
    assert (ends.loc["vanilla", ["forgetting", "combined"]] == 0).all(axis=None)
    assert (ends.loc["retain", ["forgetting", "combined", "utility_kept", "ks_p"]] == 1).all(axis=None)
    assert (ends.loc["retain", "ks"] == 0).all() and (ends.loc["vanilla", "ks"] == 1).all()
    assert ends.loc[["vanilla", "retain"], ["still_known", "over_unlearned", "p_against_best"]].isna().all(axis=None)


def test_a_model_that_knows_nothing_scores_0_and_over_unlearns(items: pd.DataFrame) -> None:
    retain = items[items["method"] == "retain"].astype({"method": str})
    truth = retain["metric"] == "truth_ratio"
    wreck = retain.assign(method="wreck", value=np.where(truth, 1.0, 0.0))
    same = retain.assign(method="same")
    everything = pd.concat([items.astype({"method": str}), wreck, same])
    everything = everything[everything["forget_percent"] == 20]
    table = summary(everything, differences(everything)).set_index("method")
    assert (table.loc["wreck", "utility"], table.loc["wreck", "combined"]) == (0, 0)
    assert table.loc["wreck", "forgetting"] > 0, "utility must tell"
    assert table.loc["wreck", "over_unlearned"] > 0 and table.loc["wreck", "still_known"] == 0
    assert table.loc["same", "combined"] == 1
    assert table.loc["same", "still_known"] == table.loc["same", "over_unlearned"] == 0
    assert np.isnan(table.loc["same", "p_against_best"]), "it is the best"
    assert table.loc["alpha", "p_against_best"] < 0.05


def test_the_jackknife_of_a_mean_equals_its_clustered_error() -> None:
    values, people = np.random.default_rng(0).normal(size=(12, 5)), np.repeat(np.arange(12), 5)
    without = [np.delete(values, i, axis=0).mean() for i in range(12)]
    error, degrees = standard_error(np.array([values.mean(), *without]), np.zeros(12))
    assert error == pytest.approx(clustered_interval(values.ravel(), people).standard_error)
    assert degrees == 11


def test_markdown_defines_the_columns(table: pd.DataFrame) -> None:
    words, rest = to_markdown(table, note(2)).split("\n\n", 1)
    for name in (
        "sees",
        "best_alike",
        "p_against_best_alike",
        "combined",
        "forgetting",
        "utility",
        "utility_kept",
        "over_unlearned",
        "still_known",
        "ks",
        "ks_p",
    ):
        assert f"`{name}`" in words
    assert "TOFU" not in rest and len(rest.strip().splitlines()) == 2 + len(table)


def test_forget_quality_statistic_equals_the_library() -> None:
    draw = np.random.default_rng(0)
    for shift in (0.0, 0.3):
        unlearned, retain = draw.random(60) + shift, draw.random(60).round(1)
        statistic, _ = forget_quality(unlearned, retain, np.repeat(np.arange(6), 10))
        assert statistic == pytest.approx(stats.ks_2samp(unlearned, retain).statistic)


def test_forget_quality_p_value_by_enumeration() -> None:
    draw = np.random.default_rng(1)
    unlearned, retain, people = draw.random(20) + 0.4, draw.random(20), np.repeat(np.arange(5), 4)
    observed = stats.ks_2samp(unlearned, retain).statistic
    gaps = []
    for swapped in itertools.product([False, True], repeat=5):
        swap = np.array(swapped)[people]
        gaps.append(stats.ks_2samp(np.where(swap, retain, unlearned), np.where(swap, unlearned, retain)).statistic)
    assert forget_quality(unlearned, retain, people)[1] == pytest.approx(np.mean(np.array(gaps) >= observed - 1e-12))


def test_forget_quality_rejects_as_often_as_it_says() -> None:
    """Two models of the same kind, with similar questions within a person; the plain test finds differences everywhere."""
    draw, people, rejected, plain = np.random.default_rng(2), np.repeat(np.arange(12), 10), 0, 0
    for _ in range(150):
        unlearned, retain = (draw.normal(size=12)[people] + 0.3 * draw.normal(size=120) for _ in range(2))
        rejected += forget_quality(unlearned, retain, people)[1] <= 0.05
        plain += stats.ks_2samp(unlearned, retain).pvalue <= 0.05
    assert rejected / 150 < 0.1 and plain / 150 > 0.3


def test_forget_quality_of_one_person_and_of_none() -> None:
    statistic, p = forget_quality(np.array([0.1, 0.2]), np.array([0.8, 0.9]), np.array([7, 7]))
    assert statistic == 1.0 and np.isnan(p), "one person cannot change places with anybody"
    with pytest.raises(ValueError, match="0 and 0 truth ratios of 0 people's questions; expected"):
        forget_quality(np.array([]), np.array([]), np.array([]))
