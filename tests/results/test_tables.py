"""The table's shape, order, rounding and bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unsee.results.tables.files import write_csv
from unsee.results.tables.scores import gather, summarise
from unsee.results.tables.table3 import table3, to_markdown

SETS = ("forget", "test", "retain", "celebrity")


@pytest.fixture(scope="module")
def scores(world: Any) -> pd.DataFrame:
    return summarise(gather(world.runs, world.questions, world.splits, (10, 20)))


def test_shape_and_order(scores: pd.DataFrame) -> None:
    table = table3(scores, ["zeta", "alpha"])
    assert table.columns.tolist() == ["model", "forget_percent", "modality", "method"] + [
        f"{name}_{kind}" for name in SETS for kind in ("classification", "rouge_l", "cloze")
    ]
    rows = table[["model", "forget_percent", "modality", "method"]].to_numpy().tolist()
    assert rows == [
        ["tiny", percent, modality, method]
        for percent in (10, 20)
        for modality in ("image", "text")
        for method in ("vanilla", "retain", "zeta", "alpha")
    ]
    assert table.notna().all(axis=None)


def test_the_configured_order_of_methods_is_kept(scores: pd.DataFrame) -> None:
    order = ["vanilla", "retain", "alpha", "zeta"]
    assert table3(scores, ["alpha", "zeta"])["method"].tolist() == order * 4
    assert table3(scores, ["alpha"])["method"].tolist() == order * 4, "others stand behind"
    shuffled = scores.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(table3(shuffled, ["alpha", "zeta"]), table3(scores, ["alpha", "zeta"]))


def test_without_methods_the_order_is_that_of_the_scores(scores: pd.DataFrame) -> None:
    assert table3(scores)["method"].tolist()[:4] == ["vanilla", "retain", "zeta", "alpha"]
    other = scores[scores["forget_percent"] == 10].assign(model="a model")
    assert table3(pd.concat([scores, other]))["model"].drop_duplicates().tolist() == ["tiny", "a model"]


def test_cells_are_means_over_seeds(scores: pd.DataFrame) -> None:
    table = table3(scores).set_index(["forget_percent", "modality", "method"])
    for column, task, metric in (
        ("classification", "classification", "accuracy"),
        ("rouge_l", "generation", "rouge_l"),
        ("cloze", "cloze", "accuracy"),
    ):
        for name in SETS:
            wanted = {"forget_percent": 20, "modality": "text", "method": "alpha", "set": name}
            wanted |= {"task": task, "metric": metric}
            part = scores[(scores[list(wanted)] == pd.Series(wanted)).all(axis=1)]
            assert part["seed"].tolist() == [0, 1]
            assert table.loc[(20, "text", "alpha"), f"{name}_{column}"] == pytest.approx(part["value"].mean())


def test_a_set_without_questions_stays_empty(scores: pd.DataFrame) -> None:
    table = table3(scores[(scores["set"] != "celebrity")])
    assert table["celebrity_cloze"].isna().all()
    assert to_markdown(table, {}).count("| – ") == 3 * len(table)


def test_a_score_twice_is_refused(scores: pd.DataFrame) -> None:
    part = scores[scores["metric"] == "accuracy"]
    with pytest.raises(
        ValueError, match=r"tiny, 10 %, vanilla, seed 0 has two values of forget, image, classification \(1 such\)"
    ):
        table3(pd.concat([part, part.head(1)]))


def test_markdown_is_rounded_and_explained(scores: pd.DataFrame) -> None:
    table = table3(scores)
    text = to_markdown(table, {})
    note, rest = text.split("\n\n", 1)
    for word in ("percent", "25 is chance", "`retain`", "means over seeds"):
        assert word in note
    lines = rest.strip().splitlines()
    assert len(lines) == 2 + len(table)
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    first = table.iloc[0]
    assert cells[:4] == ["tiny", "10", "image", "vanilla"]
    assert cells[4:7] == [
        f"{first['forget_classification']:.1f}",
        f"{first['forget_rouge_l']:.3f}",
        f"{first['forget_cloze']:.1f}",
    ]
    assert text.endswith("|\n") and not text.endswith("\n\n")


def test_equal_values_give_equal_bytes(tmp_path: Path, scores: pd.DataFrame) -> None:
    table = table3(scores)
    write_csv(table, tmp_path / "one.csv")
    # What another machine may compute: the last bits differ.
    numbers = table.select_dtypes("float64").columns
    table[numbers] = np.nextafter(table[numbers], 1000)
    write_csv(table, tmp_path / "two.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_the_bytes_are_these(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "method": ["gä", "npo"],
            "n": [3, 4],
            "value": [100 / 3, -1e-17],
            "low": [np.float64("nan"), 1e-4],
            "bytes": pd.array([123456789012, None], dtype="Int64"),
        }
    )
    write_csv(table, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_bytes() == (
        "method,n,value,low,bytes\ngä,3,33.333333,,123456789012\nnpo,4,0.000000,0.000100,\n".encode()
    )


def test_the_scores_survive_the_file(tmp_path: Path, scores: pd.DataFrame) -> None:
    write_csv(scores, tmp_path / "scores.csv")
    again = pd.read_csv(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(again, scores, atol=1e-6, check_dtype=False)
    pd.testing.assert_frame_equal(table3(again), table3(scores), atol=1e-5)
