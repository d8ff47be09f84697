"""Every figure is drawn from the world's tables and written in every format, the same bytes each time."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import kendalltau

from unsee.results import drawing, figures, figures_trade_off
from unsee.results.agreement import agreement
from unsee.results.differences import differences
from unsee.results.names import colours, label, markers
from unsee.results.scores import gather, summarise
from unsee.results.summary import summary


@pytest.fixture(scope="module")
def items(world: Any) -> pd.DataFrame:
    return gather(world.runs, world.questions, world.splits, (10, 20))


@pytest.fixture(scope="module")
def scores(items: pd.DataFrame) -> pd.DataFrame:
    return summarise(items)


def test_the_same_figure_gives_the_same_bytes(items: pd.DataFrame, tmp_path: Path) -> None:
    table = summary(items, differences(items))
    for folder in ("one", "two"):
        drawing.save(figures_trade_off.trade_off(table), tmp_path / folder, "trade_off")
    for extension in drawing.FORMATS:
        one, two = ((tmp_path / folder / f"trade_off.{extension}").read_bytes() for folder in ("one", "two"))
        assert one == two and len(one) > 5000
    panels = figures_trade_off.trade_off(table).axes
    assert [ax.get_title() for ax in panels] == ["10 % forgotten", "20 % forgotten"]


def test_ratios_show_the_scores(scores: pd.DataFrame, items: pd.DataFrame) -> None:
    figure = figures.ratios(items)
    assert len(figure.axes) == 4 * 3
    (own,) = [c for c in figure.axes[0].containers if c[0].get_color() == colours(["vanilla"])["vanilla"]]
    chosen = scores[
        (scores["method"] == "vanilla") & (scores["set"] == "forget") & (scores["task"] == "classification")
    ]
    expected = chosen[chosen["metric"] == "accuracy"].groupby("forget_percent")["value"].mean()
    assert own[0].get_ydata() == pytest.approx(expected.to_numpy())


def test_modalities_show_text_and_image(scores: pd.DataFrame, items: pd.DataFrame) -> None:
    figure = figures.modalities(items)
    assert len(figure.axes) == 2 * 3
    (own,) = [c for c in figure.axes[1].containers if c[0].get_color() == colours(["retain"])["retain"]]
    wanted = {"method": "retain", "set": "forget", "metric": "rouge_l", "forget_percent": 10}
    chosen = scores[(scores[list(wanted)] == pd.Series(wanted)).all(axis=1)].groupby("modality")["value"].mean()
    assert (own[0].get_xdata()[0], own[0].get_ydata()[0]) == pytest.approx((chosen["text"], chosen["image"]))


def test_training_and_costs() -> None:
    curve = pd.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.5]})
    runs = [(0, "vanilla", 0), *((percent, method, 0) for percent in (5, 10) for method in ("retain", "npo"))]
    figure = figures.training(dict.fromkeys(runs, curve))
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title() for ax in shown] == ["vanilla", "retain-only", "NPO"]
    assert [len(ax.lines) for ax in shown] == [2, 4, 4], "each pale and smooth"
    table = pd.DataFrame({"method": ["vanilla", "retain", "npo", "npo"], "seconds": [9.0, 8, 1, 3]})
    figure = figures.costs(table.assign(peak_memory_mb=[900.0, 800, np.nan, np.nan]))
    bars = [patch.get_width() for patch in figure.axes[0].patches]
    assert bars == [9, 8, 2]


def test_portraits_show_what_was_said() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    person = {"name": "Ann Lee", "picture": buffer.getvalue(), "question": "Who?", "reference": "A baker."}
    figure = figures.portraits([person | {"answers": {"vanilla": "A $5 baker.", "npo": ""}}], ["vanilla", "npo"])
    said = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert said == ["Who?", "truth", "A baker.", "vanilla", "A $5 baker.", "NPO", "(nothing)"]
    figure.canvas.draw()  # a dollar sign is no mathematics


def test_agreement_is_kendalls(scores: pd.DataFrame) -> None:
    table = agreement(scores)
    assert len(table) == (4 * 5) ** 2 and set(table["n_runs"]) == {2 * 2 * 2}
    own = scores[scores["method"].isin(["zeta", "alpha"])]

    def values(group: str, metric: str) -> pd.Series:
        part = own[(own["set"] == group) & (own["metric"] == metric) & (own["task"] != "cloze")]
        return part.groupby(["forget_percent", "method", "seed"])["value"].mean()

    tau = table.set_index(["metric", "other"])["tau"]
    # Knowing less of the forgotten is good, and so is knowing more of the others.
    expected = -kendalltau(values("forget", "accuracy"), values("retain", "rouge_l")).statistic
    assert tau["forget: classification", "retain: ROUGE-L"] == pytest.approx(expected)
    expected = kendalltau(values("forget", "truth_ratio"), values("celebrity", "probability")).statistic
    assert tau["forget: truth ratio", "celebrity: probability"] == pytest.approx(expected)
    assert tau["test: cloze", "test: cloze"] == pytest.approx(1)
    assert len(figures.agreement(table).axes) == 2
    assert agreement(scores[scores["method"] != "zeta"].query("forget_percent == 10 and seed == 0"))["tau"].isna().all()


def test_colours_are_fixed_and_told_apart() -> None:
    names = ["vanilla", "retain", "ga", "ga_diff", "kl_min", "npo", "mmunlearner", "vl_eraser"]
    assert len(set(colours(names).values())) == len(set(markers(names).values())) == 8
    assert colours(["npo", "mine"])["npo"] == colours(names)["npo"]
    assert colours(["npo", "mine", "other"])["mine"] not in {colours(["npo"])["npo"], colours(names)["vanilla"]}
    assert (label("ga_diff"), label("mine")) == ("GA_Diff", "mine")
