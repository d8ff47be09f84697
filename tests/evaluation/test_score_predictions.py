"""A run's predictions to one value a question and metric."""

from __future__ import annotations

import random

import pandas as pd
import pytest

from unsee.evaluation.likelihoods import probability_and_truth_ratio
from unsee.evaluation.metrics import names
from unsee.evaluation.scoring import SCORES, score_predictions
from unsee.evaluation.tasks.cloze import matches
from unsee.evaluation.tasks.generation import overlap

TASKS = ("classification", "cloze", "generation")


@pytest.fixture
def questions() -> pd.DataFrame:
    """Two people, each with a profile and a test question of each task."""
    return pd.DataFrame(
        [
            (f"{origin}/{person}/{task}", person, origin, task, 1 if task == "classification" else -1)
            for origin in ("profile", "test")
            for person in ("p0", "p1")
            for task in TASKS
        ],
        columns=["question_id", "person_id", "origin", "task", "answer_index"],
    )


@pytest.fixture
def predictions(questions: pd.DataFrame) -> pd.DataFrame:
    draw = random.Random(0)
    words = ["oslo", "baker", "in", "the", "painter"]
    rows = [
        (
            row.question_id,
            " ".join(draw.choices(words, k=3)),
            " ".join(draw.choices(words, k=3)),
            draw.random() < 0.5 if row.task == "classification" else None,
            [-draw.random() for _ in range(3)] if row.task == "classification" else [],
            [1, 2, 3] if row.task == "classification" else [],
        )
        for row in questions.itertuples()
    ]
    columns = ["question_id", "output", "reference", "correct", "option_log_likelihoods", "option_tokens"]
    return pd.DataFrame(rows, columns=columns)


def test_values_are_those_of_the_single_answers(predictions: pd.DataFrame, questions: pd.DataFrame) -> None:
    scores = score_predictions(predictions, questions)
    assert scores.columns.tolist() == SCORES.names
    assert scores["value"].dtype == "float64"
    values = scores.set_index(["question_id", "metric"])["value"]
    assert len(values) == 4 * (3 + 1 + 4)
    for row in predictions.itertuples():
        task = row.question_id.rsplit("/")[-1]
        if task == "classification":
            expected = probability_and_truth_ratio(row._asdict() | {"answer_index": 1})
            assert values[row.question_id].to_dict() == {"accuracy": int(row.correct), **expected}
        elif task == "cloze":
            assert values[row.question_id, "accuracy"] == int(matches(row.output, row.reference))
        else:
            assert values[row.question_id].to_dict() == overlap(row.output, row.reference)


def test_the_order_of_the_rows_does_not_depend_on_the_inputs(
    predictions: pd.DataFrame, questions: pd.DataFrame
) -> None:
    first = score_predictions(predictions, questions)
    again = score_predictions(predictions.sample(frac=1, random_state=1), questions.sample(frac=1, random_state=2))
    pd.testing.assert_frame_equal(first, again)
    assert first["question_id"].is_monotonic_increasing
    assert tuple(first.loc[first["question_id"] == "test/p1/generation", "metric"]) == names("generation")


def test_the_cloze_rule_is_the_configured_one(questions: pd.DataFrame) -> None:
    questions = questions[questions["question_id"] == "profile/p0/cloze"]
    predictions = pd.DataFrame(
        {"question_id": questions["question_id"], "output": "In Oslo.", "reference": "Oslo", "correct": None}
    ).assign(option_log_likelihoods=[[]], option_tokens=[[]])
    assert score_predictions(predictions, questions)["value"].tolist() == [0.0]
    assert score_predictions(predictions, questions, {"cloze_rule": "contains"})["value"].tolist() == [1.0]


def test_signs_alone_and_other_scripts_are_scored(questions: pd.DataFrame) -> None:
    questions = questions[questions["question_id"].isin(["profile/p0/cloze", "profile/p0/generation"])]
    texts = ["C++", "Она живёт в Осло."]
    predictions = pd.DataFrame(
        {"question_id": questions["question_id"], "output": texts, "reference": texts, "correct": None}
    ).assign(option_log_likelihoods=[[], []], option_tokens=[[], []])
    scores = score_predictions(predictions, questions).set_index("metric")["value"]
    assert scores["accuracy"] == scores["rouge_l"] == scores["bleu"] == 1.0
    wrong = score_predictions(predictions.assign(output=["C", "Он был в Риме."]), questions).set_index("metric")
    assert wrong.loc["accuracy", "value"] == 0.0
    assert wrong.loc["rouge_l", "value"] == pytest.approx(1 / 4)


def test_a_run_need_not_answer_the_test_questions_of_people_it_keeps(
    predictions: pd.DataFrame, questions: pd.DataFrame
) -> None:
    kept = questions["question_id"].str.startswith("test/p1")
    scores = score_predictions(predictions[~kept.to_numpy()], questions)
    assert scores["question_id"].nunique() == 9


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("profile/p1/cloze", "^predictions: question 'profile/p1/cloze' is not answered; predict again$"),
        ("test/p1/cloze", "^predictions: question 'test/p1/cloze' is not answered"),
        (
            "profile/p./",
            "^predictions: question 'profile/p0/classification', 'profile/p0/cloze', 'profile/p0/generation' and 3 "
            "more are not answered",
        ),
    ],
)
def test_questions_without_an_answer_are_named(
    predictions: pd.DataFrame, questions: pd.DataFrame, left_out: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score_predictions(predictions[~predictions["question_id"].str.match(left_out)], questions)


def test_without_origins_every_question_is_to_be_answered(predictions: pd.DataFrame, questions: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="'test/p1/classification', 'test/p1/cloze'.* are not answered"):
        score_predictions(predictions.iloc[:9], questions[["question_id", "task", "answer_index"]])


def test_unknown_and_repeated_questions_are_named(predictions: pd.DataFrame, questions: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="question 'test/p1/cloze' is answered more than once; predict again"):
        score_predictions(pd.concat([predictions, predictions.iloc[[10]]]), questions)
    with pytest.raises(ValueError, match="question 'profile/p9/cloze' is not in the benchmark; predict again"):
        score_predictions(predictions.replace("profile/p0/cloze", "profile/p9/cloze"), questions)


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        (0, "correct", "'profile/p0/classification' is multiple choice, but 'correct' is null"),
        (1, "output", "'profile/p0/cloze' is an open question, but 'output' or 'reference' is null"),
        (2, "reference", "'profile/p0/generation' is an open question, but 'output' or 'reference' is null"),
    ],
)
def test_a_null_is_not_a_wrong_answer(
    predictions: pd.DataFrame, questions: pd.DataFrame, row: int, column: str, message: str
) -> None:
    predictions.loc[row, column] = None
    with pytest.raises(ValueError, match=message):
        score_predictions(predictions, questions)


def test_a_reference_that_cannot_be_seen_is_named_by_its_question(
    predictions: pd.DataFrame, questions: pd.DataFrame
) -> None:
    predictions.loc[1, "reference"] = "\u200d"
    with pytest.raises(
        ValueError, match=r"question 'profile/p0/cloze': the reference '\\u200d' has nothing to compare with"
    ):
        score_predictions(predictions, questions)
