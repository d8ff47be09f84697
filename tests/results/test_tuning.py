"""The ranking of trials: the criterion is the summary's, equals are tied, and the edge of a grid is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from unsee.results.statistics.differences import differences
from unsee.results.tables.scores import gather
from unsee.results.tables.summary import summary
from unsee.results.tables.tuning import COLUMNS, edge, rank_trials, selection
from unsee.tuning.selection import with_selection

TRIALS: dict[str, dict[str, Any]] = {
    "learning_rate-0.1": {"learning_rate": 0.1},
    "learning_rate-0.2": {"learning_rate": 0.2},
    "learning_rate-0.4": {"learning_rate": 0.4},
}


@pytest.fixture(scope="module")
def items(world: Any) -> pd.DataFrame:
    """Trials at 10 %: the first is vanilla, the second the retain-only model, the third in the middle."""
    items = gather(world.runs, world.questions, world.splits, (10,))
    items = items[(items["forget_percent"] == 10) & (items["seed"] == 0)].astype({"method": str})
    base = items[items["method"].isin(["vanilla", "retain"])]
    wide = base.pivot(
        index=[name for name in base if name not in ("method", "value")], columns="method", values="value"
    )
    wide = wide.reset_index()
    forgotten, ratio = wide["set"].isin(["forget", "test"]), wide["metric"] == "truth_ratio"
    wide["vanilla"] = np.where(forgotten, np.where(ratio, 0.05, 1.0), np.where(ratio, 0.2, 0.9))
    wide["retain"] = np.where(forgotten, np.where(ratio, 0.5, 0.2), np.where(ratio, 0.2, 0.9))
    middle = np.where(forgotten, (wide["vanilla"] + wide["retain"]) / 2, wide["retain"])
    columns = {"vanilla": wide["vanilla"], "retain": wide["retain"]}
    columns |= dict(zip(TRIALS, (wide["vanilla"], wide["retain"], middle), strict=True))
    wide = wide.drop(columns=["vanilla", "retain"])
    return pd.concat([wide.assign(method=name, value=values) for name, values in columns.items()], ignore_index=True)


def test_the_trial_nearest_to_the_retain_only_model_is_selected(items: pd.DataFrame) -> None:
    ranked = rank_trials(items, TRIALS)
    assert list(ranked.columns) == [name for name in COLUMNS if name != "method"]
    assert ranked["settings"].tolist() == ["learning_rate 0.1", "learning_rate 0.2", "learning_rate 0.4"]
    assert ranked["rank"].tolist() == [3, 1, 2]
    assert ranked["selected"].tolist() == [False, True, False]
    # Forgetting is 0, 1 and 0.5, utility is kept whole: 2 * 0.5 / 1.5 is two thirds.
    assert ranked["value"].tolist() == pytest.approx([0, 1, 2 / 3])
    assert ranked["forgetting"].tolist() == pytest.approx([0, 1, 0.5])
    assert ranked["utility_kept"].tolist() == pytest.approx([1, 1, 1])
    assert (ranked["trials"] == 3).all() and (ranked["edge"] == "").all()
    assert not ranked["tied"].any()
    assert selection(ranked, TRIALS) == {
        "settings": {"learning_rate": 0.2},
        "criterion": "combined",
        "trials": 3,
    }


def test_the_criterion_and_its_interval_are_the_summarys(items: pd.DataFrame) -> None:
    noisy = items.assign(value=items["value"] * np.random.default_rng(0).uniform(0.6, 1, len(items)))
    ranked = rank_trials(noisy, TRIALS)
    table = summary(noisy, differences(noisy)).set_index("method").loc[list(TRIALS)]
    for column, name in (("value", "combined"), ("value_low", "combined_low"), ("value_high", "combined_high")):
        assert ranked[column].tolist() == pytest.approx(table[name].tolist())
    assert (ranked["value_low"] < ranked["value"]).all()


def test_equals_share_a_rank_and_the_first_is_selected(items: pd.DataFrame) -> None:
    of_best = items[items["method"] == "learning_rate-0.2"]
    same = pd.concat([items, of_best.assign(method="learning_rate-0.8")])
    ranked = rank_trials(same, TRIALS | {"learning_rate-0.8": {"learning_rate": 0.8}})
    assert ranked["rank"].tolist() == [4, 1, 3, 1]
    assert ranked["selected"].tolist() == [False, True, False, False]
    assert ranked["tied"].tolist() == [False, False, False, True]


def test_the_best_at_the_edge_is_said(items: pd.DataFrame) -> None:
    two = {name: TRIALS[name] for name in ("learning_rate-0.2", "learning_rate-0.4")}
    ranked = rank_trials(items[items["method"] != "learning_rate-0.1"], two)
    assert ranked["edge"].tolist() == ["lowest learning_rate", ""]


def test_a_method_with_nothing_to_vary_has_one_trial(items: pd.DataFrame) -> None:
    one = items[items["method"].isin(["vanilla", "retain", "learning_rate-0.4"])]
    ranked = rank_trials(one.replace({"method": {"learning_rate-0.4": "as-set"}}), {"as-set": {}})
    assert ranked[["settings", "rank", "selected", "tied", "trials", "edge"]].to_numpy().tolist() == [
        ["as-set", 1, True, False, 1, ""]
    ]


def test_a_trial_that_diverged_is_last_and_never_selected(items: pd.DataFrame) -> None:
    """Its rate was tried, so that the best below it is at no edge."""
    two = items[items["method"] != "learning_rate-0.4"]
    sees = dict.fromkeys(TRIALS, "forget")
    ranked = rank_trials(two, TRIALS, sees)
    assert ranked["diverged"].tolist() == [False, False, True] and ranked["rank"].tolist() == [2, 1, 3]
    assert ranked["value"].tolist() == pytest.approx([0, 1, 0]) and ranked["sees"].tolist() == ["forget"] * 3
    assert ranked["edge"].tolist() == ["", "", ""] and (ranked["trials"] == 3).all()
    assert ranked.loc[2, ["value_low", "p_against_best", "forgetting", "utility_kept"]].isna().all()
    others = rank_trials(two, {name: TRIALS[name] for name in list(TRIALS)[:2]}, sees)
    assert ranked.loc[:1, "p_against_best"].equals(others["p_against_best"]), "it is no candidate"
    assert selection(ranked, TRIALS)["settings"] == {"learning_rate": 0.2}


def test_where_every_trial_diverged_nothing_is_selected(items: pd.DataFrame) -> None:
    none = items[items["method"].isin(["vanilla", "retain"])]
    ranked = rank_trials(none, TRIALS)
    assert ranked["diverged"].all() and not ranked["selected"].any() and (ranked["rank"] == 1).all()
    chosen_by = selection(ranked, TRIALS)
    assert chosen_by == {"settings": {}, "criterion": "combined", "trials": 3}
    with pytest.raises(ValueError, match="learning_rate: tuned, and every one of its trials has diverged"):
        with_selection({"learning_rate": "tuned"}, chosen_by)


def test_the_edge_of_each_number_that_is_varied() -> None:
    trials = [
        {"rate": rate, "beta": beta, "kind": kind, "both": True} for rate, beta, kind in [(1, 2, "a"), (3, 1, "b")]
    ]
    assert edge(trials, 0) == "lowest rate, highest beta"
    assert edge(trials, 1) == "highest rate, lowest beta"
    assert edge([{"rate": rate} for rate in (3, 1, 2)], 2) == ""
    assert edge([{"rate": 1, "on": on} for on in (True, False)], 0) == ""
