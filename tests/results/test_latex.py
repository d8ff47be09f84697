"""The results table in LaTeX: its shape, and marks only where a test supports them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from unsee.results.statistics.differences import differences
from unsee.results.tables.latex import escape, marks, to_latex
from unsee.results.tables.scores import gather, summarise
from unsee.results.tables.table3 import table3


@pytest.fixture(scope="module")
def items(world: Any) -> pd.DataFrame:
    """Two more methods: ``good`` knows everything about the kept people, ``wreck`` knows nothing about anybody."""
    items = gather(world.runs, world.questions, world.splits, (20,)).astype({"method": str})
    items = items[items["forget_percent"] == 20]
    retain = items[items["method"] == "retain"]
    kept = retain["set"].isin(["retain", "celebrity"])
    good = retain.assign(method="good", value=retain["value"].mask(kept, 1.0))
    wreck = retain.assign(method="wreck", value=0.0)
    return pd.concat([items, good, wreck])


@pytest.fixture(scope="module")
def marked(items: pd.DataFrame) -> dict[tuple[str, int, str, str, str], str]:
    return marks(items, differences(items))


def test_the_best_is_marked_where_it_is_better_than_all(marked: dict[Any, str]) -> None:
    assert marked["tiny", 20, "text", "good", "retain_classification"] == "best"
    assert marked["tiny", 20, "image", "good", "retain_rouge_l"] == "best"
    # Two that answer by chance stand behind it; neither is better than the other, but the wreck is worse than both.
    assert ("tiny", 20, "text", "alpha", "retain_classification") not in marked
    assert ("tiny", 20, "text", "zeta", "retain_classification") not in marked


def test_a_method_below_the_retain_only_model_is_never_the_best(items: pd.DataFrame, marked: dict[Any, str]) -> None:
    over = {key[-1] for key, mark in marked.items() if mark == "over"}
    assert over and all(name.startswith(("forget_", "test_")) for name in over)
    assert {key[3] for key, mark in marked.items() if mark == "over"} == {"wreck"}
    table = differences(items)
    assert sum(table["over_unlearned"] & table["metric"].isin(["accuracy", "rouge_l"])) == list(marked.values()).count(
        "over"
    )


def test_without_a_difference_there_is_no_mark(items: pd.DataFrame) -> None:
    retain = items[items["method"].isin(["vanilla", "retain"])]
    twins = [retain[retain["method"] == "retain"].assign(method=name) for name in ("one", "two")]
    both = pd.concat([retain, *twins])
    assert marks(both, differences(both)) == {}


def test_second_best(items: pd.DataFrame) -> None:
    subset = items[items["method"].isin(["vanilla", "retain", "good", "alpha", "wreck"])]
    marked = marks(subset, differences(subset))
    assert marked["tiny", 20, "text", "alpha", "retain_classification"] == "second"


def test_latex(items: pd.DataFrame, marked: dict[Any, str]) -> None:
    table = table3(summarise(items), ["zeta", "alpha", "good", "wreck"])
    table.loc[0, "celebrity_cloze"] = np.nan
    note, text = to_latex(table, marked).split(r"\begin{tabular}", 1)
    assert all(line.startswith("% ") for line in note.strip().splitlines())
    lines = text.splitlines()
    assert lines[0] == "{lll" + "r" * 12 + "}"
    assert lines[1] == r"\toprule" and lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    assert lines[3].startswith("Ratio & Modality & Method & Class. & ROUGE-L & Cloze & ")
    rows = [line for line in lines[5:-2] if line.endswith(r"\\")]
    assert len(rows) == len(table) == 12
    assert all(row.count("&") == 14 for row in rows)
    assert rows[0].startswith(r"\multirow[t]{12}{*}{20\,\%} & \multirow[t]{6}{*}{image} & vanilla & ")
    assert rows[0].endswith("& -- \\\\")
    assert sum(row.count(r"\textbf{") for row in rows) == list(marked.values()).count("best")
    assert sum(row.count(r"\dagger") for row in rows) == list(marked.values()).count("over")
    first = table.iloc[2]
    assert f"zeta & {first['forget_classification']:.1f}" in rows[2]


def test_names_are_escaped_and_models_have_a_column(items: pd.DataFrame) -> None:
    scores = summarise(items.assign(method=items["method"].replace("zeta", "kl_min")))
    both = table3(pd.concat([scores, scores.assign(model="an_other")]))
    text = to_latex(both, {})
    assert r"KL\_Min" in text and r"an\_other" in text
    assert "Model & Ratio & Modality & Method & " in text
    assert text.count(r"\midrule") == 2


def test_every_special_character_of_latex_is_escaped(items: pd.DataFrame) -> None:
    name = "a_b & 5% #1 $x$ {y} ~ ^ \\cline{1-2} <z>"
    escaped = (
        r"a\_b \& 5\% \#1 \$x\$ \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}cline\{1-2\} "
        r"\textless{}z\textgreater{}"
    )
    assert escape(name) == escaped
    assert escape("two\nlines") == "two lines"
    scores = summarise(items.assign(method=items["method"].replace("zeta", name)))
    both = table3(pd.concat([scores, scores.assign(model=name)]))
    text = to_latex(both, {})
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert all(row.replace(r"\&", "").count("&") == 15 for row in rows), "as many cells as columns in each row"
    assert sum(f"& {escaped} &" in row for row in rows) == 4, "two modalities of two models"
    assert text.count(f"{{*}}{{{escaped}}}") == 1, "the model"
