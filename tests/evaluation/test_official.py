"""Scores of published protocols: what is asked is scored and nothing else; the published files; a known figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from unsee.benchmarks.splits import assign_sets
from unsee.benchmarks.tables import read_table
from unsee.evaluation import anchor, official
from unsee.evaluation.protocols.load import load_protocol
from unsee.evaluation.questions import protocol_questions
from unsee.evaluation.scoring import score_predictions
from unsee.results.tables.scores import Run, gather

SETTINGS = {"protocol": "mllmu-official", "seed": 0}


@pytest.fixture(scope="module")
def tables(mini_benchmark: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return read_table(mini_benchmark, "questions").to_pandas(), read_table(mini_benchmark, "splits").to_pandas()


@pytest.fixture(scope="module")
def predictions(mini_benchmark: Path) -> pd.DataFrame:
    """Every answer right, but for the classification of celebrities and the picture cloze of the retained."""
    rows = []
    for row in protocol_questions(mini_benchmark, [25], load_protocol(SETTINGS)):
        wrong = row["origin"] == "celebrity" if row["task"] == "classification" else row["task"] == "cloze"
        wrong = wrong and (
            row["task"] == "classification" or (row["origin"] == "profile" and row["modality"] == "image")
        )
        classified = row["task"] == "classification"
        rows.append(
            {
                "question_id": row["question_id"],
                "output": "x" if wrong else row["answer"],
                "reference": row["answer"],
                "option_log_likelihoods": [],
                "option_tokens": [],
                "correct": not wrong if classified else None,
            }
        )
    return pd.DataFrame(rows)


def test_every_answer_and_no_other_question_is_scored(
    predictions: pd.DataFrame, tables: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    questions, splits = tables
    items = score_predictions(predictions, questions, SETTINGS)
    assert set(items["question_id"]) == set(predictions["question_id"])
    assert set(items.loc[items["question_id"].str.contains("classification"), "metric"]) == {"accuracy"}
    items.to_parquet(tmp_path / "items.parquet")
    runs = [Run("tiny", 25, method, 0, [tmp_path / "items.parquet"]) for method in ("vanilla", "retain")]
    gathered = gather(runs, questions, splits, [25], load_protocol(SETTINGS))
    assert set(gathered["question_id"]) == set(items["question_id"])
    assert gathered.groupby("method", observed=True).size().tolist() == [len(items)] * 2
    with pytest.raises(ValueError, match="no score for .* questions at 25 %"):
        gather(runs, questions, splits, [25], load_protocol({**SETTINGS, "seed": 1}))
    with pytest.raises(ValueError, match="generation/0' is not answered|generation/0.*are not answered"):
        score_predictions(predictions[~predictions["question_id"].str.endswith("generation/0")], questions, SETTINGS)


def test_the_published_files(predictions: pd.DataFrame, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    questions, splits = tables
    items = score_predictions(predictions, questions, SETTINGS)
    results = official.results(items, questions, splits, 25)
    assert list(results) == [
        "Forget Set Results",
        "Test Set Results",
        "Retain Set (shared dataset) Results",
        "Retain Set (real person) Results",
    ]
    block = results["Retain Set (shared dataset) Results"]
    assert list(block) == ["fill_in_the_blank", "classification", "generation"]
    assert block["fill_in_the_blank"] == {"image_textual_accuracy": 0.0, "pure_text_accuracy": 100.0}
    assert block["classification"] == {
        "Image-Textual Question Accuracy": 100.0,
        "Pure Text Question Accuracy": 100.0,
    }
    assert results["Retain Set (real person) Results"]["classification"]["Pure Text Question Accuracy"] == 0.0
    assert list(block["generation"]) == [
        f"Average {metric} ({kind})"
        for kind in ("Image_Textual", "Pure_Text")
        for metric in ("ROUGE-1", "ROUGE-2", "ROUGE-L", "BLEU")
    ]
    assert block["generation"]["Average ROUGE-L (Image_Textual)"] == 1.0

    written = official.generations(predictions, questions, splits, 25)
    assert list(written) == ["forget", "test", "retain_shared", "retain_celebrity"]
    rows = {mode: content["Generation_Questions"] for mode, content in written.items()}
    assert [len(rows[mode]) for mode in rows] == [3 * 4, 3 * 4, 9 * 4, 4 * 4]
    one = rows["retain_celebrity"][0]
    question = questions[questions["question_id"] == "celebrity/celebrity-000/image/generation/0"].iloc[0]
    assert one == {
        "image_id": "000",
        "question type": "Image_Textual",
        "question": question["question"],
        "generated_answer": question["answer"],
        "ground_truth": question["answer"],
    }


def test_a_known_figure_by_hand(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    questions, splits = tables
    portraits = questions[
        (questions["origin"] == "profile") & (questions["modality"] == "image") & (questions["task"] == "generation")
    ]
    groups = assign_sets(portraits, splits, 25)
    rows: list[dict[str, Any]] = [
        # Forgotten: right, that is 1; kept: "a b" for "a c", that is 1/2.
        {"question_id": q, "output": "a c" if group == "forget" else "a b", "reference": "a c", "correct": None}
        for q, group in zip(portraits["question_id"], groups, strict=True)
    ]
    answers = pd.DataFrame(rows).assign(option_log_likelihoods=[[]] * len(rows), option_tokens=[[]] * len(rows))
    figures = {"forget_percent": 25, "forget": 0.99, "retain": 0.45, "tolerance": 0.02}
    table = anchor.check(answers, questions, splits, figures)
    assert table["set"].tolist() == ["forget", "retain"]
    assert table["n_questions"].tolist() == [3 * 2, 9 * 2]
    assert table["found"].tolist() == pytest.approx([1.0, 0.5])
    assert table["difference"].tolist() == pytest.approx([0.01, 0.05])
    assert table["within"].tolist() == [True, False]
