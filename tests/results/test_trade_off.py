"""Methods at equal utility: curves that are easy to judge, and a plain recomputation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from unsee.results.page import figures_trade_off
from unsee.results.statistics.trade_off import (
    CURVE_COLUMNS,
    RANKING_COLUMNS,
    most_forgetting,
    note,
    stops_early,
    trade_off,
)
from unsee.results.tables.files import to_markdown
from unsee.results.tables.scores import gather

FORGOTTEN = ["forget", "test"]
#: A share of the way from vanilla to the retain-only model, and of what vanilla knows of the others, at each scale.
PATHS = {
    "zeta": {0.5: (0.8, 1.0), 1.0: (1.0, 0.5)},  # forgets before it harms
    "alpha": {0.5: (0.2, 0.8), 1.0: (0.6, 0.6)},
}


@pytest.fixture(scope="module")
def items(world: Any) -> pd.DataFrame:
    """Vanilla knows everything, the retain-only model nothing about the forgotten people; methods are at scale 1."""
    items = gather(world.runs, world.questions, world.splits, (10, 20)).astype({"method": str})
    items["value"] = _known(items, 1.0, 1.0)
    items.loc[items["method"] == "retain", "value"] = _known(items[items["method"] == "retain"], 0.0, 1.0)
    for method, path in PATHS.items():
        mask = items["method"] == method
        items.loc[mask, "value"] = _known(items[mask], 1 - path[1.0][0], path[1.0][1])
    return items


@pytest.fixture(scope="module")
def scaled(items: pd.DataFrame) -> dict[tuple[int, str, int], pd.DataFrame]:
    tables = {}
    for key, part in items[items["method"].isin(PATHS)].groupby(["forget_percent", "method", "seed"]):
        percent, method, seed = int(str(key[0])), str(key[1]), int(str(key[2]))
        forgot, kept = PATHS[method][0.5]
        # Not everybody is asked.
        subset = part[~part["person_id"].isin(["000", "001", "celebrity-0"])]
        tables[percent, method, seed] = subset.assign(scale=0.5, value=_known(subset, 1 - forgot, kept))
    return tables


def _known(table: pd.DataFrame, forgotten: float, others: float) -> np.ndarray:
    """Values of a model that knows these shares: harmonic means and truth ratios come out as the share."""
    share = np.where(table["set"].isin(FORGOTTEN), forgotten, others)
    # R / (1 + R) with 1 - R = share.
    return np.where(table["metric"] == "truth_ratio", (1 - share) / (2 - share), share)


@pytest.fixture(scope="module")
def tables(items: pd.DataFrame, scaled: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    return trade_off(items, scaled, 0.9, ["zeta", "alpha"])


def test_the_curves_are_the_paths(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    curves, _ = tables
    assert curves.columns.tolist() == CURVE_COLUMNS
    here = curves[curves["forget_percent"] == 20]
    assert here["method"].tolist() == ["vanilla", "retain", *["zeta"] * 3, *["alpha"] * 3]
    assert here["scale"].tolist()[2:] == [0.0, 0.5, 1.0] * 2
    for method, path in PATHS.items():
        curve = here[here["method"] == method].set_index("scale")
        for scale, (forgot, kept) in {0.0: (0.0, 1.0), **path}.items():
            assert curve.loc[scale, "forgetting"] == pytest.approx(forgot)
            assert curve.loc[scale, ["utility", "utility_kept"]].tolist() == pytest.approx([kept, kept])


def test_the_ranking_by_hand(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    _, ranking = tables
    assert ranking.columns.tolist() == RANKING_COLUMNS
    first, second = ranking[ranking["forget_percent"] == 10].to_dict("records")
    assert (first["method"], second["method"]) == ("zeta", "alpha")
    # zeta falls from 1 to 0.5 of utility between (0.8) and (1.0): at 0.9 a fifth of the way; at half strength and more.
    assert (first["forgetting"], first["scale"], first["utility_kept"]) == pytest.approx((0.84, 0.6, 0.9))
    # alpha has lost 0.1 halfway to half strength.
    assert (second["forgetting"], second["scale"], second["utility_kept"]) == pytest.approx((0.1, 0.25, 0.9))
    # Areas of trapezia: zeta 1 below 0.5, then straight to 0.8; alpha 0.6 below 0.6, 0.6 to 0.2 at 0.8, to 0 at 1.
    assert first["area"] == pytest.approx(0.5 + 0.5 * 0.9, abs=0.01)
    assert second["area"] == pytest.approx(0.36 + 0.2 * 0.4 + 0.2 * 0.1, abs=0.01)


def test_the_best_differs_from_the_others_only_where_it_is_better(items: pd.DataFrame) -> None:
    people = items["person_id"].unique()
    shift = dict(zip(people, np.random.default_rng(0).uniform(-0.01, 0.01, len(people)), strict=True))
    mask = (items["method"] != "retain") & items["set"].isin(FORGOTTEN)
    varied = items.assign(value=items["value"] + items["person_id"].map(shift).astype(float).where(mask, 0.0))
    twin = varied[varied["method"] == "zeta"].assign(method="twin")
    _, ranking = trade_off(pd.concat([varied, twin]), {}, 0.75)
    p = ranking[ranking["forget_percent"] == 20].set_index("method")[["p_against_best", "area_p_against_best"]]
    assert p.loc["zeta"].isna().all() and (p.loc["twin"] == 1).all() and (p.loc["alpha"] < 0.05).all()


def test_a_method_that_stops_early_is_not_compared(items: pd.DataFrame) -> None:
    """zeta keeps 0.5 and alpha 0.6 of the utility with their whole update."""
    _, ranking = trade_off(items, {}, 0.55, ["zeta", "alpha"], {"zeta": {20: "forget"}, "alpha": {20: "forget"}})
    first, last = ranking[ranking["forget_percent"] == 20].to_dict("records")
    assert (first["method"], first["stopped_early"], first["sees"]) == ("zeta", False, "forget")
    assert (last["method"], last["stopped_early"], last["sees"]) == ("alpha", True, "forget")
    # What alpha had forgotten by its end.
    assert (last["forgetting"], last["scale"], last["utility_kept"]) == pytest.approx((0.6, 1.0, 0.6))
    assert np.isnan(last["p_against_best"]) and pd.isna([first["best_alike"], last["best_alike"]]).all()
    _, ranking = trade_off(items, {}, 0.45, ["zeta", "alpha"])
    assert ranking["stopped_early"].all() and ranking["p_against_best"].isna().all()
    assert ranking["method"].tolist() == ["zeta", "alpha"] * 2
    assert not stops_early(0.6 + 1e-12, 0.6) and stops_early(0.61, 0.6)


def test_the_line_of_a_method_that_stops_early_is_dotted(items: pd.DataFrame) -> None:
    curves, _ = trade_off(items, {}, 0.55, ["zeta", "alpha"])
    figure = figures_trade_off.equal_utility(curves, 0.55)
    lines = [line for line in figure.axes[1].lines if len(line.get_xdata()) == 2 and line.get_linestyle() != "--"]
    assert [line.get_linestyle() for line in lines if line.get_linestyle() in "-:"] == ["-", ":"]


def test_methods_that_see_the_same_are_compared(items: pd.DataFrame) -> None:
    third = items[items["method"] == "alpha"].assign(method="third")
    sees = {name: {10: "forget", 20: "forget"} for name in ("third", "alpha")} | {
        "zeta": {10: "forget, retained pairs"}
    }
    _, ranking = trade_off(pd.concat([items, third]), {}, 0.75, None, sees)
    here = ranking[ranking["forget_percent"] == 10].set_index("method")
    assert here.loc[["alpha", "third"], "best_alike"].nunique() == 1 and pd.isna(here.loc["zeta", "best_alike"])
    (other,) = {"alpha", "third"} - {here.loc["third", "best_alike"]}
    assert here.loc[other, "p_against_best_alike"] == 1


def test_without_scales_a_curve_is_a_line(items: pd.DataFrame) -> None:
    curves, ranking = trade_off(items, {}, 0.75)
    assert (curves["method"] == "zeta").sum() == 2 * 2
    best = ranking[ranking["forget_percent"] == 20].iloc[0]
    # Halfway to 1.0 at half the loss of utility.
    assert (best["method"], best["forgetting"], best["scale"]) == ("zeta", pytest.approx(0.5), pytest.approx(0.5))


def test_a_method_that_harms_nobody_counts_at_full_strength() -> None:
    most, place = most_forgetting(np.array([[1.0, 1.0, 0.97]]), np.array([[0.0, 0.4, 0.7]]), 0.95)
    assert (most[0], place[0]) == (0.7, 2)
    most, place = most_forgetting(np.array([[1.0, 0.5]]), np.array([[0.0, 1.0]]), 1.2)
    assert np.isnan(most[0]) and np.isnan(place[0])


def test_most_forgetting_equals_a_fine_walk_along_the_curve() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        utility, forgetting = np.r_[1.0, draw.random(4)], np.r_[0.0, draw.random(4)]
        steps = np.linspace(0, 4, 40_001)
        walk = np.interp(steps, np.arange(5), utility), np.interp(steps, np.arange(5), forgetting)
        level = draw.random()
        expected = walk[1][walk[0] >= level].max()
        assert most_forgetting(utility[None], forgetting[None], level)[0][0] == pytest.approx(expected, abs=1e-4)


def test_a_run_with_missing_answers_is_refused(items: pd.DataFrame, scaled: Any) -> None:
    part = {key: table.iloc[100:] if key == (10, "zeta", 0) else table for key, table in scaled.items()}
    with pytest.raises(ValueError, match=r"10 %, zeta at 0.5 has no .*expected every method to answer the same"):
        trade_off(items, part, 0.9)


def test_markdown_and_figure(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    curves, ranking = tables
    text = to_markdown(ranking, note(0.9, 2))
    assert text.startswith("Methods at 90 % of vanilla's utility.")
    for name in (
        "forgetting",
        "utility_kept",
        "area",
        "p_against_best",
        "area_p_against_best",
        "scale",
        "sees",
        "best_alike",
    ):
        assert f"`{name}`" in text
    figure = figures_trade_off.equal_utility(curves, 0.9)
    lines = [line for line in figure.axes[1].lines if len(line.get_xdata()) == 3]
    assert [list(line.get_ydata()) for line in lines] == [pytest.approx([0, 0.8, 1.0]), pytest.approx([0, 0.2, 0.6])]
