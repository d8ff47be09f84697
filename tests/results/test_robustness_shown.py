"""What the robustness table says: sentences, Markdown, LaTeX and figures, from hand-made scores."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from tests.results.attacked import Values, joined, scored, summary_of
from unsee.results.page import figures_robustness
from unsee.results.page.drawing import FORMATS
from unsee.results.page.write_robustness import write_robustness
from unsee.results.statistics.attacked import AttackedRun
from unsee.results.statistics.robustness import robustness
from unsee.results.styles import colours_of
from unsee.results.tables.robustness import combined, sentences, to_markdown, two_decimals
from unsee.results.tables.robustness_latex import to_latex

PEOPLE = [f"p{i}" for i in range(10)]
KNOWS: Values = {p: ([1, 1], [1, 1]) for p in PEOPLE}
NEVER_MET: Values = {p: ([0, 0], [0, 0]) for p in PEOPLE}
#: ga hides all from training; npo has forgotten half and hides nothing; mmunlearner is destroyed; vl_eraser was pushed down.
HIDES: Values = {p: ([0, 0], [1, 1]) for p in PEOPLE}
HALF: Values = {p: ([1, 0], [1, 0]) for p in PEOPLE}
UTILITY = summary_of(vanilla=0.6, retain=0.6, ga=0.6, npo=0.54, mmunlearner=0.3)
METHODS = ["ga", "npo", "mmunlearner"]
SEES = {"ga": {10: "forget"}, "mmunlearner": {10: "forget, retained pairs"}}


@pytest.fixture(scope="module")
def parts() -> tuple[pd.DataFrame, dict]:  # type: ignore[type-arg]
    models = {"vanilla": KNOWS, "retain": NEVER_MET, "ga": HIDES, "npo": HALF, "mmunlearner": HIDES}
    halfway = models | {"ga": {p: ([0, 0], [1, 0]) for p in PEOPLE}}
    calm = models | {"ga": NEVER_MET, "mmunlearner": NEVER_MET}
    return joined(
        scored(halfway, attack="relearn", variant="25 % of the pairs", step=5),
        scored(models, attack="relearn", variant="25 % of the pairs", step=20),
        scored(calm, attack="relearn", variant="5 % of the pairs", step=5),
        scored(calm, attack="noise"),
    )


@pytest.fixture(scope="module")
def table(parts: tuple[pd.DataFrame, dict]) -> pd.DataFrame:  # type: ignore[type-arg]
    return robustness(*parts, UTILITY, 0.8, methods=METHODS, attacks=["relearn", "noise"], sees=SEES)


def test_three_sentences(table: pd.DataFrame) -> None:
    assert sentences(table) == [
        "At 10 % forgotten, beyond what the retain-only model gains, GA recovers from 1 of 3 attacks, most from relearning, 25 % of "
        "the pairs: 1.00 (1.00 to 1.00).",
        "At 10 % forgotten, something comes back under relearning (GA); nothing clear comes back under noise.",
        "At 10 % forgotten, no recovery is shown for NPO; without any attack NPO still knew more than the retain-only model; "
        "MMUnlearner is destroyed (50 % of vanilla's utility) and not judged.",
    ]


def test_the_sentences_are_the_same_from_the_file(table: pd.DataFrame, tmp_path: Path) -> None:
    calm = table[table["attack"] == "noise"]
    for part in (table, calm):
        part.to_csv(tmp_path / "robustness.csv", index=False)
        assert sentences(pd.read_csv(tmp_path / "robustness.csv")) == sentences(part)
    assert sentences(calm)[0] == (
        "At 10 % forgotten no method is shown to recover: no attack brings back clearly more than the retain-only model gains."
    )


def test_a_sentence_where_a_method_only_returns() -> None:
    pushed: Values = {p: ([0, 0], [1, 0]) for p in PEOPLE}
    table = robustness(*scored({"vanilla": KNOWS, "retain": HALF, "ga": pushed}), UTILITY, 0.8)
    assert sentences(table)[2] == (
        "At 10 % forgotten, no recovery is shown for GA; GA only returns to the retain-only model's score under noise."
    )
    assert "0.50 (0.50 to 0.50) returns" in to_markdown(table)


def test_a_sentence_where_there_was_nothing_to_forget_or_nobody_to_judge() -> None:
    table = robustness(*scored({"vanilla": HALF, "retain": HALF, "ga": HIDES}), UTILITY, 0.8)
    (line,) = sentences(table)
    assert (
        line
        == "At 10 % forgotten vanilla is not shown to know more than the retain-only model, so no method can be judged."
    )
    low = summary_of(vanilla=0.6, retain=0.6, ga=0.1)
    table = robustness(*scored({"vanilla": KNOWS, "retain": NEVER_MET, "ga": HIDES}), low, 0.8)
    assert sentences(table) == [
        "At 10 % forgotten there is no method to judge.",
        "At 10 % forgotten, GA is destroyed (17 % of vanilla's utility) and not judged.",
    ]


def test_an_attack_on_what_nobody_knew_counts_as_no_failed_attack() -> None:
    """With a picture vanilla knows no more than the retain-only model, so an attack on pictures can bring back nothing."""
    unknown = {"vanilla": HALF, "retain": HALF, "ga": HALF}
    parts = joined(
        scored({"vanilla": KNOWS, "retain": NEVER_MET, "ga": HIDES}, modality="text"),
        scored(unknown, attack="blur"),
    )
    table = robustness(*parts, UTILITY, 0.8)
    assert sentences(table)[:2] == [
        "At 10 % forgotten, beyond what the retain-only model gains, GA recovers from 1 of 1 attacks, most from noise: "
        "1.00 (1.00 to 1.00).",
        "At 10 % forgotten, something comes back under noise (GA); vanilla knows no more of what is asked under blur than the "
        "retain-only model.",
    ]
    assert "| 1 of 1 " in to_markdown(table)


def test_the_power_is_said_where_there_is_spread() -> None:
    draw = np.random.default_rng(0)
    noisy: Values = {p: ([0, 0], (draw.random(2) < 0.3).astype(float)) for p in PEOPLE}
    table = robustness(*scored({"vanilla": KNOWS, "retain": noisy, "ga": NEVER_MET}), UTILITY, 0.8)
    (detectable,) = table.loc[(table["method"] == "ga") & (table["metric"] == "combined"), "detectable"]
    assert f"no recovery is shown for GA (10 people show an excess from about {detectable:.2f})" in sentences(table)[2]


def test_markdown(table: pd.DataFrame) -> None:
    text = to_markdown(table)
    assert text.startswith("- At 10 % forgotten, beyond")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    assert rows[5] == [
        "mmunlearner",
        "forget, retained pairs",
        "50 %",
        "0.00",
        "0.00 (0.00 to 0.00)",
        "0 of 3",
        "destroyed",
    ]
    assert rows[6] == ["attack", "vanilla", "GA", "NPO", "MMUnlearner (destroyed)"]
    assert rows[7][0] == "relearning, 5 % of the pairs" and rows[8][2] == "**1.00 (1.00 to 1.00)**"
    for name in combined(table).columns:
        if name in ("excess", "gain", "before", "after", "recovery", "ahead_after", "p_holm", "detectable", "verdict"):
            assert f"`{name}`" in text


def test_a_model_that_diverges_is_marked_and_never_ranked(
    parts: tuple[pd.DataFrame, dict[AttackedRun, pd.DataFrame]], table: pd.DataFrame, tmp_path: Path
) -> None:
    """GA under noise, and the retain-only model in the last step of the large share."""
    items, attacked = parts[0], {run: scores.copy() for run, scores in parts[1].items()}
    ga, retain = (AttackedRun(10, method, 0, attack) for method, attack in (("ga", "noise"), ("retain", "relearn")))
    attacked[ga] = attacked[ga].assign(diverged=True, value=np.nan)
    last = attacked[retain]["step"] == 20
    attacked[retain] = attacked[retain].assign(diverged=last, value=attacked[retain]["value"].where(~last))
    write_robustness(
        tmp_path,
        items=items,
        attacked=attacked,
        summary=UTILITY,
        share=0.8,
        methods=METHODS,
        attacks=["relearn", "noise"],
    )
    lost = pd.read_csv(tmp_path / "robustness.csv")
    assert lost[["method", "attack", "variant", "step", "metric"]].equals(
        table.assign(variant=table["variant"].replace("", np.nan))[["method", "attack", "variant", "step", "metric"]]
    )
    diverged = lost["verdict"] == "diverged"
    assert set(zip(lost.loc[diverged, "method"], lost.loc[diverged, "attack"], strict=True)) == {
        ("ga", "noise"),
        ("retain", "relearn"),
    }
    without_control = (lost["attack"] == "relearn") & (lost["step"] == 20) & ~diverged
    assert set(lost.loc[without_control, "verdict"]) == {"control diverged", "control"}
    assert lost.loc[diverged | without_control, ["excess", "p", "p_holm", "recovery"]].isna().all(axis=None)
    assert lost.loc[diverged, ["after", "gain"]].isna().all(axis=None) and lost["before"].notna().all()
    # The other rows are what they were: a model that diverges costs the rest of the table nothing.
    same = ~(diverged | without_control)
    columns = ["before", "after", "gain", "excess", "verdict"]
    assert np.array_equal(lost.loc[same, columns[:4]], table.loc[same.to_numpy(), columns[:4]].round(6), equal_nan=True)
    assert lost.loc[same, "verdict"].tolist() == table.loc[same.to_numpy(), "verdict"].tolist()
    page = (tmp_path / "robustness.md").read_text()
    assert "At 10 % forgotten GA diverged under noise." in page
    assert "retain-only diverged under relearning, 25 % of the pairs, so that no method is judged there." in page
    assert "| noise" in page and "| diverged" in page
    tex = (tmp_path / "robustness.tex").read_text()
    assert " & diverged & " in tex and "control diverged" in tex and "nan" not in tex
    assert (tmp_path / "figures/robustness.svg").stat().st_size > 1000


def test_latex(table: pd.DataFrame) -> None:
    text = to_latex(table, 0.8)
    assert r"Attack & vanilla & GA & NPO & MMUnlearner (destroyed) \\" in text
    (line,) = [line for line in text.splitlines() if line.startswith(r"relearning, 25 \% of the pairs")]
    cells = line.removesuffix(r" \\").split(" & ")
    assert cells[1] == r"$0.00$ {\scriptsize $[0.00, 0.00]$}"
    assert cells[2] == r"$\mathbf{1.00}$ {\scriptsize $[1.00, 1.00]$}"
    assert cells[4] == r"$1.00$ {\scriptsize $[1.00, 1.00]$}", "never bold"
    assert text.count(r"\begin{tabular}{lrrrr}") == 1 and r"80\,\% of vanilla's utility" in text
    assert "multicolumn" not in text
    two = pd.concat([table, table.assign(forget_percent=20, destroyed=False)])
    both = to_latex(two, 0.8)
    assert both.count("multicolumn{5}{l}") == 2 and "MMUnlearner (destroyed)" not in both
    assert both.count("(destroyed)") == 3


def test_the_heat_map_has_the_numbers_and_pale_cells(table: pd.DataFrame) -> None:
    figure = figures_robustness.heat_map(table)
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["vanilla", "GA", "NPO", "MMUnlearner"]
    names = ["relearning, 5 % of the pairs", "relearning, 25 % of the pairs", "noise"]
    assert [text.get_text() for text in ax.get_yticklabels()] == names
    cells = {(round(patch.get_x() + 0.47), round(patch.get_y() + 0.45)): patch for patch in ax.patches}
    assert len(cells) == 12
    hidden, pale, destroyed = cells[1, 1], cells[2, 1], cells[3, 1]
    assert to_hex(hidden.get_facecolor()) == to_hex(figures_robustness._COLOURS(1.0)) and hidden.get_linewidth() > 0
    assert min(pale.get_facecolor()[:3]) > 0.9 and pale.get_linewidth() == 0
    assert [patch.get_hatch() for patch in (hidden, destroyed)] == [None, "////"]
    texts = [text.get_text() for text in ax.texts]
    assert texts.count("1.00") == 2 and "1.00 to 1.00" in texts


def test_relearning_curves_start_with_the_score_without_an_attack(table: pd.DataFrame) -> None:
    figure = figures_robustness.relearning(table)
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title() for ax in shown] == ["relearning, 5 % of the pairs", "relearning, 25 % of the pairs"]
    colour = colours_of(["ga"])["ga"]
    lines = [line for line in shown[1].lines if line.get_color() == colour]
    assert (list(lines[0].get_xdata()), list(lines[0].get_ydata())) == ([0, 5, 20], [0, 0.5, 1])
    assert [line.get_markerfacecolor() for line in lines[1:]] == ["white", colour, colour], "full where it recovers"
    dotted = [line for line in shown[1].lines if line.get_linestyle() == ":"]
    assert {line.get_color() for line in dotted} == {colours_of(["mmunlearner"])["mmunlearner"]}
    nothing = figures_robustness.relearning(table[table["attack"] == "noise"])
    assert [text.get_text() for text in nothing.texts] == ["No attack trains the models."]


def test_equal_inputs_in_any_order_give_equal_bytes(
    parts: tuple[pd.DataFrame, dict],  # type: ignore[type-arg]
    tmp_path: Path,
) -> None:
    items, attacked = parts
    mixed = {run: attacked[run].sample(frac=1, random_state=1) for run in reversed(attacked)}
    for folder, scores, rows in (("one", attacked, items), ("two", mixed, items.sample(frac=1, random_state=2))):
        write_robustness(
            tmp_path / folder,
            items=rows,
            attacked=scores,
            summary=UTILITY,
            share=0.8,
            methods=METHODS,
            attacks=["relearn", "noise"],
        )
    written = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    figures = [f"figures/{name}.{suffix}" for name in ("relearning", "robustness") for suffix in FORMATS]
    assert [str(path) for path in written] == sorted([*figures, "robustness.csv", "robustness.md", "robustness.tex"])
    for path in written:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes(), path


def test_zero_has_no_sign() -> None:
    assert [two_decimals(value) for value in (-0.001, 0.0, -0.005001, 0.125)] == ["0.00", "0.00", "-0.01", "0.12"]
    assert not re.search(r"-0\.00\b", two_decimals(-0.0))
