"""Every figure is drawn from small tables and written in every format, with the same bytes each time."""

from __future__ import annotations

import io
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import font_manager
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from scipy.stats import kendalltau

from unsee.results.page import drawing, figures, figures_trade_off
from unsee.results.statistics.agreement import agreement
from unsee.results.statistics.differences import differences
from unsee.results.styles import colours_of, label_of, markers_of
from unsee.results.tables.scores import gather, summarise
from unsee.results.tables.summary import summary
from unsee.unlearning.catalogue import read


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
    (bars,) = [c for c in figure.axes[0].containers if c[0].get_color() == colours_of(["vanilla"])["vanilla"]]
    part = scores[(scores["method"] == "vanilla") & (scores["set"] == "forget") & (scores["task"] == "classification")]
    expected = part[part["metric"] == "accuracy"].groupby("forget_percent")["value"].mean()
    assert bars[0].get_ydata() == pytest.approx(expected.to_numpy())


def test_modalities_show_text_and_image(scores: pd.DataFrame, items: pd.DataFrame) -> None:
    figure = figures.modalities(items)
    assert len(figure.axes) == 2 * 3
    (bars,) = [c for c in figure.axes[1].containers if c[0].get_color() == colours_of(["retain"])["retain"]]
    wanted = {"method": "retain", "set": "forget", "metric": "rouge_l", "forget_percent": 10}
    means = scores[(scores[list(wanted)] == pd.Series(wanted)).all(axis=1)].groupby("modality")["value"].mean()
    assert (bars[0].get_xdata()[0], bars[0].get_ydata()[0]) == pytest.approx((means["text"], means["image"]))


def test_training_and_costs() -> None:
    curve = pd.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.5]})
    runs = [(0, "vanilla", 0), *((percent, method, 0) for percent in (5, 10) for method in ("retain", "npo"))]
    without_steps = {(10, "kvw", 0): curve[:0]}
    figure = figures.training(dict.fromkeys(runs, curve) | without_steps)
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title() for ax in shown] == ["vanilla", "retain-only", "NPO"]
    assert [len(ax.lines) for ax in shown] == [2, 4, 4], "each pale and smooth"
    table = pd.DataFrame({"method": ["vanilla", "retain", "npo", "npo"], "seconds": [9.0, 8, 1, 3]})
    figure = figures.costs(table.assign(peak_memory_mb=[900.0, 800, np.nan, np.nan]))
    bars = [patch.get_width() for patch in figure.axes[0].patches]
    assert bars == [9, 8, 2]


def test_portraits_show_the_answers() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    person = {"name": "Ann Lee", "picture": buffer.getvalue(), "question": "Who?", "reference": "A baker."}
    figure = figures.portraits([person | {"answers": {"vanilla": "A $5 baker.", "npo": ""}}], ["vanilla", "npo"])
    said = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert said == ["Who?", "truth", "A baker.", "vanilla", "A $5 baker.", "NPO", "(nothing)"]
    figure.canvas.draw()  # a dollar sign is no mathematics


#: No formula, or a broken one, to a TeX parser.
DOLLARS = ["$x_", r"pays $\frac{$ a day", "$5 and $6", "100% #1 & {2}^~\\", r"$\alpha$"]


@pytest.mark.parametrize("text", DOLLARS)
def test_a_dollar_sign_starts_no_formula(text: str, tmp_path: Path, items: pd.DataFrame) -> None:
    person = {"name": text, "picture": None, "question": text, "reference": text, "answers": {text: text}}
    named = items.assign(method=items["method"].astype(str).replace("zeta", text))
    runs = {(10, text, 0): pd.DataFrame({"step": [1], "loss": [1.0]})}
    cost = pd.DataFrame({"method": [text], "seconds": [1.0], "peak_memory_mb": [1.0]})
    every = {
        "portraits": figures.portraits([person], [text]),
        "training": figures.training(runs),
        "costs": figures.costs(cost),
        "agreement": figures.agreement(pd.DataFrame({"metric": [text], "other": [text], "tau": [1.0]})),
        "trade_off": figures_trade_off.trade_off(summary(named, differences(named))),
    }
    for name, figure in every.items():
        drawing.save(figure, tmp_path, name)
        drawn = [artist for artist in figure.findobj(Text) if "$" in artist.get_text()]
        assert all(not artist.get_parse_math() for artist in drawn)
        assert drawn or "$" not in text, f"{name} shows it"


def _font_with(characters: str, folder: Path) -> str:
    """Install a font with squares for these characters in matplotlib and return its name."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for move, point in zip(["moveTo", *["lineTo"] * 3], [(0, 0), (0, 900), (900, 900), (900, 0)], strict=True):
        getattr(pen, move)(point)
    pen.closePath()
    names = [".notdef", *(f"u{ord(character):04x}" for character in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(character): f"u{ord(character):04x}" for character in characters})
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular", "psName": "Squares-Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(folder / "squares.ttf")
    font_manager.fontManager.addfont(folder / "squares.ttf")
    return "Squares"


@pytest.fixture
def named_in_chinese(monkeypatch: pytest.MonkeyPatch) -> Figure:
    """A portrait without a picture, with a name that no font has."""
    monkeypatch.setattr(drawing, "OTHER_FONTS", ())
    monkeypatch.setattr(drawing, "_logged", set())
    person = {"name": "王小明", "picture": None, "question": "Who?", "reference": "王 works.", "answers": {}}
    return figures.portraits([person], [])


def test_characters_that_no_font_has_are_logged_once(
    named_in_chinese: Figure, tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    for name in ("one", "two"):
        drawing.save(named_in_chinese, tmp_path, name)
    (said,) = caplog.messages
    assert "no installed font has 小 明 王 (3 characters); they are drawn as boxes. Install a font" in said
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_an_installed_font_is_used_where_it_is_needed(
    named_in_chinese: Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    drawing.save(named_in_chinese, tmp_path, "boxes")
    caplog.clear()
    installed = list(font_manager.fontManager.ttflist)
    try:
        monkeypatch.setattr(drawing, "OTHER_FONTS", ("Not Installed", _font_with("王小明", tmp_path)))
        drawing.save(named_in_chinese, tmp_path, "squares")
    finally:
        font_manager.fontManager.ttflist[:] = installed
    assert not [message for message in caplog.messages if "no installed font" in message]
    families = {text.get_text(): text.get_fontfamily() for text in named_in_chinese.findobj(Text)}
    assert families["王小明"] == families["王 works."] == [drawing.FONT, "Squares"]
    assert families["Who?"] == [drawing.FONT], "other text stays as it was, to the byte"
    assert (tmp_path / "boxes.png").read_bytes() != (tmp_path / "squares.png").read_bytes()
    assert "Squares" in (tmp_path / "squares.svg").read_text(encoding="utf-8")


def test_an_italic_text_is_upright_where_the_italic_font_lacks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(drawing, "OTHER_FONTS", ())
    people = [
        {"name": "Ann", "picture": None, "question": question, "reference": "", "answers": {}}
        for question in ("من هذا؟", "Who?", "Кто это?")
    ]
    figure = figures.portraits(people, [])
    drawing.save(figure, tmp_path, "arabic")
    styles = {text.get_text(): text.get_fontstyle() for text in figure.findobj(Text)}
    assert (styles["من هذا؟"], styles["Who?"], styles["Кто это?"]) == ("normal", "italic", "italic")
    assert not caplog.messages


def test_wide_characters_count_twice() -> None:
    lines = figures._wrapped("王" * 60).split("\n")
    assert len(lines) == 2 and all(len(line) <= 19 for line in lines)
    assert figures._wrapped("a" * 38) == "a" * 38


def test_agreement_equals_kendalls_tau(scores: pd.DataFrame) -> None:
    table = agreement(scores)
    assert len(table) == (4 * 5) ** 2 and set(table["n_runs"]) == {2 * 2 * 2}
    both = scores[scores["method"].isin(["zeta", "alpha"])]

    def values(group: str, metric: str) -> pd.Series:
        part = both[(both["set"] == group) & (both["metric"] == metric) & (both["task"] != "cloze")]
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


#: What readers without long-wave (protanopia) or middle-wave cones (deuteranopia) see of linear red, green and blue:
#: Machado, Oliveira and Fernandes, 2009, https://doi.org/10.1109/TVCG.2009.113, severity 1.
EYES = {
    "three cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def lab(colour: str, eyes: str) -> np.ndarray:
    """A colour as CIE L*a*b*."""
    encoded = np.array(to_rgb(colour))
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])
    white = to_xyz @ np.clip(np.array(EYES[eyes]) @ linear, 0, 1) / to_xyz.sum(1)
    x, y, z = np.where(white > 0.008856, np.cbrt(white), 7.787 * white + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", EYES)
def test_methods_are_told_apart_by_colour_and_marker(eyes: str) -> None:
    names = [*read(), "base", "vanilla", "retain"]
    colours, markers = colours_of(names), markers_of(names)
    assert len(set(markers.values())) == len(names)
    for first, second in combinations(read(), 2):
        # Two would be just noticeable side by side.
        assert np.linalg.norm(lab(colours[first], eyes) - lab(colours[second], eyes)) > 12, (first, second)


def test_colours_are_fixed_and_different() -> None:
    names = ["vanilla", "retain", "ga", "ga_diff", "kl_min", "npo", "mmunlearner", "vl_eraser"]
    assert len(set(colours_of(names).values())) == len(set(markers_of(names).values())) == 8
    assert colours_of(["npo", "mine"])["npo"] == colours_of(names)["npo"]
    assert colours_of(["npo", "mine", "other"])["mine"] not in {
        colours_of(["npo"])["npo"],
        colours_of(names)["vanilla"],
    }
    assert (label_of("ga_diff"), label_of("mine")) == ("GA_Diff", "mine")
