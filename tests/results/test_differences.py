"""Paired differences against a regression library, and their verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from unsee.results.statistics.differences import COLUMNS, differences, holm
from unsee.results.tables.scores import gather


@pytest.fixture(scope="module")
def items(world: Any) -> pd.DataFrame:
    return gather(world.runs, world.questions, world.splits, (10, 20))


@pytest.fixture(scope="module")
def table(items: pd.DataFrame) -> pd.DataFrame:
    return differences(items)


def test_shape(table: pd.DataFrame) -> None:
    assert table.columns.tolist() == COLUMNS
    # Ratios, methods, baselines; sets, modalities, metrics of the tasks.
    assert len(table) == 2 * 2 * 2 * 4 * 2 * (3 + 1 + 4)
    assert set(table["method"]) == {"zeta", "alpha"}
    assert table["set"].drop_duplicates().tolist() == ["forget", "test", "retain", "celebrity"]
    assert table.notna().all(axis=None)


@pytest.mark.parametrize("against", ["vanilla", "retain"])
@pytest.mark.parametrize(("task", "metric", "scale"), [("classification", "accuracy", 100), ("generation", "bleu", 1)])
def test_one_seed_equals_a_regression_of_the_differences(
    items: pd.DataFrame, against: str, task: str, metric: str, scale: float
) -> None:
    regression = pytest.importorskip("statsmodels.regression.linear_model")
    once = items[items["seed"] == 0]
    selection = {"forget_percent": 20, "set": "retain", "modality": "text", "task": task, "metric": metric}
    part = once[(once[list(selection)].astype(object) == pd.Series(selection)).all(axis=1)]
    first, other = (
        part[part["method"] == name].set_index(["person_id", "question_id"])["value"] for name in ("zeta", against)
    )
    paired = ((first - other) * scale).reset_index()
    groups = pd.factorize(paired["person_id"])[0]
    fitted = regression.OLS(paired["value"], np.ones(len(paired))).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    table = differences(once)
    wanted = selection | {"method": "zeta", "against": against}
    (row,) = table[(table[list(wanted)].astype(object) == pd.Series(wanted)).all(axis=1)].to_dict("records")
    assert row["difference"] == pytest.approx(fitted.params.iloc[0])
    assert (row["low"], row["high"]) == pytest.approx(tuple(fitted.conf_int().iloc[0]))
    assert row["p"] == pytest.approx(fitted.pvalues.iloc[0])
    assert (row["n_questions"], row["n_people"]) == (32, 16)


def test_a_difference_is_that_of_the_scores(items: pd.DataFrame, table: pd.DataFrame) -> None:
    """Over both seeds, computed from the means."""
    cell = ["forget_percent", "set", "modality", "task", "metric"]
    means = items.groupby([*cell, "method"], observed=True)["value"].mean().unstack("method")
    for row in table.sample(60, random_state=0).to_dict("records"):
        mean = means.loc[tuple(row[name] for name in cell)]
        scale = 100 if row["metric"] == "accuracy" else 1
        assert row["difference"] == pytest.approx(scale * (mean[row["method"]] - mean[row["against"]]))


def test_holm_equals_the_library() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    draw = np.random.default_rng(0)
    for n in (1, 2, 7):
        p = draw.random(n) ** 3
        assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1])
    assert holm(np.array([0.01, 0.01, 0.9, 0.02])) == pytest.approx([0.04, 0.04, 0.9, 0.04])
    assert holm(np.array([0.3, np.nan, 0.01]))[[0, 2]] == pytest.approx([0.3, 0.02])
    assert np.isnan(holm(np.array([np.nan]))).all()


def test_the_correction_is_over_the_methods_of_a_cell(table: pd.DataFrame) -> None:
    family = ["forget_percent", "against", "set", "modality", "task", "metric"]
    for _, part in table.groupby(family):
        assert sorted(part["method"]) == ["alpha", "zeta"]
        assert part["p_holm"].to_numpy() == pytest.approx(holm(part["p"].to_numpy()))


def test_verdicts(items: pd.DataFrame) -> None:
    """One method gets everything wrong, another gives the answers of the retain-only model."""
    methods = {"method": items["method"].astype(str)}
    retain = items.assign(**methods)[lambda t: t["method"] == "retain"].copy()
    wrong = retain.assign(method="wrong", value=(retain["metric"] == "truth_ratio").astype(float))
    table = differences(pd.concat([retain, retain.assign(method="same"), wrong]), ["retain"])
    same = table[table["method"] == "same"]
    assert (same["difference"] == 0).all() and (same["p"] == 1).all() and set(same["verdict"]) == {"unclear"}
    clear = table[(table["method"] == "wrong") & (table["forget_percent"] == 20) & (table["p_holm"] < 0.05)]
    ratio = clear["metric"] == "truth_ratio"
    assert ratio.any() and set(clear[ratio]["verdict"]) == {"higher"} and set(clear[~ratio]["verdict"]) == {"lower"}
    assert (clear["over_unlearned"] == clear["set"].isin(["forget", "test"])).all()
    assert not table[table["p_holm"] >= 0.05]["over_unlearned"].any()


def test_a_method_with_fewer_answers_is_refused(items: pd.DataFrame) -> None:
    lost = items[~((items["method"] == "alpha") & (items["seed"] == 1))]
    with pytest.raises(ValueError, match=r"tiny, 10 %, alpha has no .* of .* with seed 1, which other methods have"):
        differences(lost)
