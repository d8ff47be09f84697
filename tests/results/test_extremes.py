"""Which models are destroyed and which have hardly begun, from scores of which the answer is computed by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from unsee.results.page import findings
from unsee.results.statistics.differences import differences
from unsee.results.tables.extremes import Extent, extents, sentences
from unsee.results.tables.latex import marks, to_latex
from unsee.results.tables.scores import summarise
from unsee.results.tables.summary import summary
from unsee.results.tables.table3 import table3, to_markdown

#: The right option's probability, the truth ratio as it is stored (R / (1 + R)) and ROUGE-L about kept people; the number of forgotten
#: people, of ten, about whom the choice is right, with a picture and in words. 0 is 1 - R = 1, 1/3 is 1/2.
MODELS = {
    "vanilla": ((0.8, 0.0, 0.4), (10, 8)),
    "retain": ((0.8, 0.0, 0.4), (2, 2)),
    "wreck": ((0.3, 1 / 3, 0.1), (0, 0)),
    "weak": ((0.8, 0.0, 0.4), (10, 7)),
    "good": ((0.8, 0.0, 0.3), (5, 1)),
}
#: 3 / (1 / 0.8 + 1 / 1 + 1 / 0.4) = 0.6316 and 3 / (1 / 0.3 + 1 / 0.5 + 1 / 0.1) = 0.1957.
SHARE_OF_WRECK = (3 / (10 / 3 + 2 + 10)) / (3 / (1.25 + 1 + 2.5))


def answers(method: str, seed: int = 0) -> pd.DataFrame:
    """The items of one model: three kept people of each kind and ten forgotten ones."""
    (probability, ratio, rouge), right = MODELS[method]
    rows = []
    for modality, count in zip(("image", "text"), right, strict=True):
        values = {("classification", "probability"): probability, ("classification", "truth_ratio"): ratio}
        values |= {("generation", "rouge_l"): rouge}
        for name in ("retain", "celebrity"):
            rows += [(name, modality, *key, f"{name}{i}", value) for i in range(3) for key, value in values.items()]
        for i in range(10):
            choice = ("classification", "accuracy", f"forgotten{i}", float(i < count))
            rows += [("forget", modality, *choice), ("test", modality, *choice)]
            rows += [("forget", modality, "classification", "truth_ratio", f"forgotten{i}", 0.2)]
    table = pd.DataFrame(rows, columns=["set", "modality", "task", "metric", "person_id", "value"])
    question = table["set"] + "/" + table["modality"] + "/" + table["task"] + "/" + table["person_id"]
    return table.assign(model="tiny", forget_percent=10, method=method, seed=seed, question_id=question)


@pytest.fixture(scope="module")
def items() -> pd.DataFrame:
    return pd.concat([answers(method) for method in MODELS], ignore_index=True)


def test_the_numbers_behind_the_marks(items: pd.DataFrame) -> None:
    reached = {method: extent for (_, _, method), extent in extents(items).items()}
    assert list(reached) == ["wreck", "weak", "good"], "no reference model is marked"
    assert reached["wreck"].utility_of_vanilla == pytest.approx(SHARE_OF_WRECK) == pytest.approx(0.30978, abs=1e-5)
    assert [of.utility_of_vanilla for of in reached.values()][1] == pytest.approx(1)
    # Of twenty questions vanilla has 18 right, weak 17 and good 6.
    assert [of.points_below_vanilla for of in reached.values()] == pytest.approx([90, 5, 60])
    assert [of.mark for of in reached.values()] == ["destroyed", "hardly begun", ""]


def test_the_ends_of_the_marks() -> None:
    assert not Extent(0.5, 10.0).destroyed and not Extent(0.5, 10.0).hardly_begun
    assert Extent(0.499, 9.9).mark == "destroyed, hardly begun"
    assert Extent(float("nan"), float("nan")).mark == "", "not measured"


def test_over_seeds_the_means_count(items: pd.DataFrame) -> None:
    """A second seed in which weak forgets as good does: 18 of 20 against (17 + 6) / 2."""
    second = pd.concat([answers(m) if m != "weak" else answers("good").assign(method=m) for m in MODELS])
    both = pd.concat([items, second.assign(seed=1)], ignore_index=True)
    extent = extents(both)["tiny", 10, "weak"]
    assert extent.points_below_vanilla == pytest.approx(100 * (18 - 11.5) / 20) and not extent.hardly_begun


def test_without_likelihoods_no_model_is_destroyed(items: pd.DataFrame) -> None:
    """A published protocol has no probabilities."""
    without = items[~items["metric"].isin(["probability", "truth_ratio"])]
    assert [of.mark for of in extents(without).values()] == ["", "hardly begun", ""]
    assert pd.isna(extents(without)["tiny", 10, "wreck"].utility_of_vanilla)


def test_the_sentences(items: pd.DataFrame) -> None:
    assert list(sentences(extents(items))) == [
        "Destroyed, with less than 50 % of vanilla's utility left, and therefore never the best: `wreck` at 10 % (31 %).",
        "Hardly begun, with forget classification less than 10 points below vanilla's (mean of image and text): "
        "`weak` at 10 % (5.0 points).",
    ]
    assert list(sentences({("tiny", 10, "good"): Extent(1.0, 70.0)})) == []


def test_a_destroyed_model_is_in_no_comparison_of_the_summary(items: pd.DataFrame) -> None:
    sees = {name: {10: "forget"} for name in ("wreck", "weak", "good")}
    compared = differences(items)
    rows = summary(items, compared, (), sees).set_index("method")
    assert rows["destroyed"].dropna().to_dict() == {"wreck": True, "weak": False, "good": False}
    assert rows["hardly_begun"].dropna().to_dict() == {"wreck": False, "weak": True, "good": False}
    assert pd.isna(rows.loc["wreck", "p_against_best"]) and pd.isna(rows.loc["wreck", "best_alike"])
    assert rows.loc[["weak", "good"], "best_alike"].tolist() == ["good", "good"]
    text = findings.as_they_stand(rows.reset_index())
    assert text.startswith("At 10 % forgotten, good comes nearest")
    assert text.endswith(" Destroyed, and not compared: wreck (31 % of vanilla's utility).")
    alone = rows.loc[["vanilla", "retain", "wreck"]].reset_index()
    assert findings.as_they_stand(alone) == (
        "At 10 % there is no method to compare. Destroyed, and not compared: wreck (31 % of vanilla's utility)."
    )


def test_a_destroyed_model_is_never_bold(items: pd.DataFrame) -> None:
    """Here the retain-only model knows nothing, so that wreck, which has 0 of 10 right, is not over-unlearned; good has 5, weak 10."""
    alike = items[items["method"] != "retain"]
    ignorant = alike[alike["method"] == "wreck"].assign(method="retain")
    both = pd.concat([alike, ignorant], ignore_index=True)
    compared, reached = differences(both), extents(both)
    cell = ("tiny", 10, "image", "wreck", "forget_classification")
    assert marks(both, compared)[cell] == "best", "but for its utility"
    marked = marks(both, compared, reached)
    assert cell not in marked and marked["tiny", 10, "image", "good", "forget_classification"] == "best"
    tex = to_latex(table3(summarise(both)), marked, reached)
    rows = [line for line in tex.splitlines() if line.endswith(r"\\")]
    assert sum(r"wreck$^\ddagger$ &" in row for row in rows) == 2 == sum(r"weak$^\circ$ &" in row for row in rows)
    assert not any(r"good$^" in row for row in rows)
    assert "less than 50 % of vanilla's utility" in tex and "less than 10 points below" in tex


def test_the_table_has_a_column_of_marks_if_there_are_any(items: pd.DataFrame) -> None:
    table = table3(summarise(items))
    text = to_markdown(table, {}, extents(items))
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]
    assert head[4] == "mark"
    assert {row[3]: row[4] for row in rows} == {
        **{"vanilla": "", "retain": "", "good": ""},
        **{"wreck": "destroyed", "weak": "hardly begun"},
    }
    good = items[~items["method"].isin(["wreck", "weak"])]
    assert "mark" not in to_markdown(table3(summarise(good)), {}, extents(good))
    assert "mark" not in table.columns, "the CSV file is as it was"
