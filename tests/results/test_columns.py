"""A new metric is one entry; the base model has a row everywhere and changes no other row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unsee.results import columns
from unsee.results.columns import METRICS, Metric, column_of, in_order, metric_of
from unsee.results.page import figures, figures_trade_off, findings, report
from unsee.results.statistics.agreement import agreement
from unsee.results.statistics.differences import differences
from unsee.results.statistics.trade_off import trade_off
from unsee.results.tables.ablation import ablation
from unsee.results.tables.knowledge import knowledge
from unsee.results.tables.latex import marks, to_latex
from unsee.results.tables.modalities import modalities
from unsee.results.tables.scores import gather, over_seeds, summarise
from unsee.results.tables.summary import summary
from unsee.results.tables.table3 import table3, to_markdown


@pytest.fixture(scope="module")
def items(world: Any) -> pd.DataFrame:
    return gather(world.runs, world.questions, world.splits, (10, 20)).astype({"method": str})


@pytest.fixture
def doubt() -> Iterator[Metric]:
    """A made-up metric, added at one place."""
    metric = Metric("doubt", "generation", "%", False, column="doubt", agreement=True)
    METRICS.append(metric)
    yield metric
    METRICS.remove(metric)


def test_a_new_metric_is_one_entry(items: pd.DataFrame, doubt: Metric, tmp_path: Path) -> None:
    """Wherever ROUGE-L is, there is doubt: 100 - ROUGE-L in percent."""
    rouge = items[items["metric"] == "rouge_l"]
    items = pd.concat([items.astype({"metric": str}), rouge.assign(metric="doubt", value=1 - rouge["value"])])
    scores = summarise(items)
    table = table3(scores)
    assert table["forget_doubt"].to_numpy() == pytest.approx(100 - 100 * table["forget_rouge_l"].to_numpy())
    header, _, row = to_markdown(table, {}).split("\n\n")[1].splitlines()[:3]
    at = [cell.strip() for cell in header.split("|")].index("forget_doubt")
    assert row.split("|")[at].strip() == f"{table['forget_doubt'][0]:.1f}"

    compared = differences(items)
    doubts, rouges = (
        compared.loc[compared["metric"] == name, "difference"].to_numpy() for name in ("doubt", "rouge_l")
    )
    assert doubts == pytest.approx(-100 * rouges)
    assert over_seeds(items).query("metric == 'doubt'")["value"].max() > 1, "in percent"
    over = compared[compared["over_unlearned"]].groupby("metric", observed=True).size()
    assert over.get("doubt", 0) == over.get("rouge_l", 0), "much doubt is little knowledge"
    agreed = agreement(scores).set_index(["metric", "other"])["tau"]
    assert agreed["forget: doubt", "forget: ROUGE-L"] == pytest.approx(1), "both turned so that high is good"

    tex = to_latex(table, marks(items, compared))
    assert "{4}{c}{Forget" in tex and r"& Cloze & doubt $\uparrow$ & Class." in tex
    panels = figures.ratios(items).axes
    assert [ax.get_title() for ax in panels[:4]] == ["classification (%)", "ROUGE-L", "cloze (%)", "doubt (%)"]

    page = _page(items, scores, compared, tmp_path)
    assert '"title":"forget doubt (%)"' in page and '"generation/doubt":1' in page
    assert '"generation","doubt",' in page, "a row of the scores and of the differences"


def test_a_metric_that_is_not_listed_is_named(items: pd.DataFrame) -> None:
    unknown = items[items["metric"] == "bleu"].astype({"metric": str}).assign(metric="doubt")
    with pytest.raises(
        ValueError, match="metric 'doubt' of task 'generation' is not in METRICS of evaluation/metrics.py; add"
    ):
        summarise(unknown)


def test_every_metric_of_every_protocol_is_listed() -> None:
    from unsee.evaluation.protocols.load import load_protocol
    from unsee.evaluation.settings import PROTOCOLS

    for name in PROTOCOLS:
        for task, metrics in load_protocol({"protocol": name}).metrics.items():
            assert all(metric_of(task, metric) for metric in metrics)


def test_titles_and_decimals() -> None:
    assert (column_of("retain_cloze").title, column_of("retain_cloze").decimals) == ("retain cloze (%)", 1)
    assert (column_of("test_rouge_l").title, column_of("test_rouge_l").decimals) == ("test ROUGE-L", 3)
    assert column_of("utility_kept") == columns.Column("utility kept")


def test_reference_models_come_first() -> None:
    assert in_order(["npo", "retain", "mine", "ga", "base", "npo", "vanilla"], ["ga", "npo", "absent"]) == [
        *("base", "vanilla", "retain"),
        *("ga", "npo", "mine"),
    ]


@pytest.fixture(scope="module")
def with_base(items: pd.DataFrame) -> pd.DataFrame:
    """A base model that guesses about everybody but the celebrities; its rows come last."""
    vanilla = items[items["method"] == "vanilla"]
    guess = np.where(vanilla["metric"] == "accuracy", vanilla["question_id"].str.endswith("1"), 0.5).astype(float)
    values = vanilla["value"].where(vanilla["set"] == "celebrity", guess)
    return pd.concat([items, vanilla.assign(method="base", value=values)], ignore_index=True)


def _others(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["method"] != "base"].reset_index(drop=True)


def test_the_base_model_is_the_first_row_and_changes_no_other(items: pd.DataFrame, with_base: pd.DataFrame) -> None:
    scores, plain_scores = summarise(with_base), summarise(items)
    compared, plain_compared = differences(with_base), differences(items)
    pd.testing.assert_frame_equal(compared, plain_compared)
    for table, plain in (
        (table3(scores, ["zeta", "alpha"]), table3(plain_scores, ["zeta", "alpha"])),
        (ablation(scores, ["zeta", "alpha"]), ablation(plain_scores, ["zeta", "alpha"])),
        (summary(with_base, compared, ["zeta"]), summary(items, compared, ["zeta"])),
    ):
        assert table["method"].tolist()[:4] == ["base", "vanilla", "retain", "zeta"]
        pd.testing.assert_frame_equal(_others(table), plain)
    base = summary(with_base, compared).query("method == 'base'")
    assert base[["p_against_best", "still_known", "over_unlearned"]].isna().all(axis=None)
    assert base[["forgetting", "utility", "utility_kept"]].notna().all(axis=None)


def test_the_base_model_is_no_method(items: pd.DataFrame, with_base: pd.DataFrame) -> None:
    for table, plain in zip(trade_off(with_base, {}, 0.9), trade_off(items, {}, 0.9), strict=True):
        pd.testing.assert_frame_equal(table, plain)
    pd.testing.assert_frame_equal(agreement(summarise(with_base)), agreement(summarise(items)))
    compared = differences(with_base)
    assert marks(with_base, compared) == marks(items, compared)
    table = summary(with_base, compared)
    assert "base" not in findings.as_they_stand(table[table["forget_percent"] == 10])
    assert "base" not in [text.get_text() for text in figures_trade_off.trade_off(table).legends[0].texts]
    rows = [line for line in to_latex(table3(summarise(with_base)), {}).splitlines() if "& base &" in line]
    assert len(rows) == 4, "two ratios, two modalities"


def test_figures_and_page_show_the_base_model(with_base: pd.DataFrame, tmp_path: Path) -> None:
    for figure in (figures.ratios(with_base), figures.modalities(with_base)):
        assert [text.get_text() for text in figure.legends[0].texts][:3] == ["base", "vanilla", "retain-only"]
    costs = pd.DataFrame({"method": ["base", "vanilla"], "seconds": [np.nan, 3.0], "peak_memory_mb": [np.nan, 100.0]})
    assert [label.get_text() for label in figures.costs(costs).axes[0].get_yticklabels()] == ["vanilla"]
    page = _page(with_base, summarise(with_base), differences(with_base), tmp_path)
    assert "<em>Base</em> is the model without adapters" in page


def _page(items: pd.DataFrame, scores: pd.DataFrame, compared: pd.DataFrame, folder: Path) -> str:
    curves, ranking = trade_off(items, {}, 0.9)
    return report.render(
        tables={
            "summary": summary(items, compared),
            "table3": table3(scores),
            "knowledge": knowledge(items),
            "scores": over_seeds(items),
            "differences": compared,
            "modalities": modalities(items),
            "costs": pd.DataFrame({"model": ["tiny"], "method": ["vanilla"], "seconds": [1.5]}),
            "statistics": pd.DataFrame({"statistic": ["Total Profiles"], "value": ["25"]}),
            "ranking": ranking,
        },
        utility=0.9,
        explorer={},
        person=None,
        figures={},
        configuration="",
        remarks=[],
        manifests={},
    )
