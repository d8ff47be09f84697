"""The job of an attack on a tiny model: the questions, the states of the model, and the file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from unsee.attacks.answers import ATTACKED, attacked_row
from unsee.attacks.attack import REGISTRY, People, State, Weights, attack
from unsee.attacks.inputs import Changed, attacked_images, attacked_questions
from unsee.attacks.run import attack_model
from unsee.benchmarks.tables import person_ids, read_images
from unsee.evaluation.predict import answer_questions
from unsee.evaluation.protocol import Question
from unsee.evaluation.questions import read_questions
from unsee.evaluation.settings import TASKS
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures
from unsee.results.statistics.attacked import score_attacked

SETTINGS: dict[str, Any] = {
    "protocol": "unsee",
    "classification": "likelihood",
    "batch_size": 4,
    "max_new_tokens": 4,
    "tasks": list(TASKS),
}
Rows = list[dict[str, Any]]


@pytest.fixture
def toys() -> Iterator[None]:
    """Some attacks that only these tests have."""
    before = dict(REGISTRY)

    @attack("same")
    def same(weights: Weights) -> Iterator[State]:
        yield State()

    @attack("twice")
    def twice(weights: Weights, *, step: int = 3) -> Iterator[State]:
        yield State("first", 0)
        for weight in weights.vlm.base.parameters():
            weight.mul_(1.5)
        yield State("second", step)

    @attack("ruins")
    def ruins(weights: Weights) -> Iterator[State]:
        yield State("whole", 0)
        for weight in weights.vlm.base.parameters():
            weight.fill_(float("nan"))
        yield State("ruined", 0)
        yield State("said", 7, diverged=True)

    @attack("stuck")
    def stuck(weights: Weights) -> Iterator[State]:
        yield State()
        yield State()

    @attack("negative")
    def negative(picture: Image.Image) -> Image.Image:
        return ImageOps.invert(picture)

    @attack("dots")
    def dots(picture: Image.Image, random: Random) -> Image.Image:
        picture.putpixel((random.randrange(picture.width), random.randrange(picture.height)), (255, 0, 0))
        return picture

    @attack("turned")
    def turned(question: Question) -> list[Question]:
        n = len(question["options"])
        return [
            question
            | {
                "options": question["options"][k:] + question["options"][:k],
                "answer_index": (question["answer_index"] - k) % n,
            }
            for k in range(n)
        ]

    @attack("any_photo")
    def any_photo(question: Question, random: Random, people: People) -> list[Question]:
        others = [name for name in people.image_ids[question["person_id"]] if name != question["image_id"]]
        return [question | {"image_id": random.choice(others)}] if question["image_id"] else []

    @attack("renamed")
    def renamed(question: Question) -> list[Question]:
        return [question | {"options": [option.upper() for option in question["options"]]}]

    @attack("reversed")
    def reversed_in_place(question: Question) -> list[Question]:
        question["options"].reverse()
        return [question]

    @attack("silent")
    def silent(question: Question) -> list[Question]:
        return []

    yield
    REGISTRY.clear()
    REGISTRY.update(before)


@pytest.fixture
def job(toys: None, model_spec: dict[str, Any], mini_benchmark: Path, tmp_path: Path) -> Callable[..., Rows]:
    """Runs an attack and returns the rows that it wrote."""

    def run(name: str, *, seed: int = 0, settings: dict[str, Any] = SETTINGS, **options: Any) -> Rows:
        output = tmp_path / f"{name}.parquet"
        attack_model(
            model_spec,
            mini_benchmark,
            adapters=[],
            attack=name,
            options=options,
            forget_percent=25,
            seed=seed,
            settings=settings,
            division={},
            threads=1,
            output=output,
        )
        table = pq.read_table(output)
        assert table.schema == ATTACKED
        rows: Rows = table.to_pylist()
        return rows

    return run


def forgotten_questions(benchmark: Path) -> list[Question]:
    people = set(person_ids(benchmark, 25, "forget"))
    return [question for question in read_questions(benchmark, [25]) if question["person_id"] in people]


def unattacked(spec: dict[str, Any], benchmark: Path) -> Rows:
    """The answers of an ordinary evaluation, of all people."""
    questions = read_questions(benchmark, [25])
    vlm: VisionLanguageModel = load(spec)
    images = read_images(benchmark, {question["image_id"] for question in questions if question["image_id"]})
    people = {question["question_id"] for question in forgotten_questions(benchmark)}
    answers = answer_questions(vlm, Pictures(vlm.family, vlm.base, vlm.processor, images), questions, SETTINGS)
    return [answer for answer in answers if answer["question_id"] in people]


def test_a_model_that_is_not_changed_answers_as_in_the_ordinary_evaluation(
    job: Callable[..., Rows], model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    rows = job("same")
    questions = forgotten_questions(mini_benchmark)
    assert {question["origin"] for question in questions} == {"profile", "test"}
    assert [row["question_id"] for row in rows] == sorted(question["question_id"] for question in questions)
    for row, expected in zip(rows, unattacked(model_spec, mini_benchmark), strict=True):
        assert (row.pop("variant"), row.pop("step"), row.pop("diverged"), row.pop("version")) == ("", 0, False, 0)
        assert row.pop("option_log_likelihoods") == pytest.approx(expected.pop("option_log_likelihoods"), rel=1e-6)
        assert row == expected


def test_a_model_that_an_attack_ruins_costs_no_other_state(
    job: Callable[..., Rows], mini_benchmark: Path, tmp_path: Path
) -> None:
    """Every question of such a state has a row without an answer, and a score without a value."""
    rows, same = job("ruins"), job("same")
    questions = sorted(question["question_id"] for question in forgotten_questions(mini_benchmark))
    by_state = {state: [row for row in rows if row["variant"] == state] for state in ("whole", "ruined", "said")}
    assert [row | {"variant": ""} for row in by_state["whole"]] == same
    for state, step in (("ruined", 0), ("said", 7)):
        assert [row["question_id"] for row in by_state[state]] == questions
        assert {(row["step"], row["diverged"], row["output"], row["choice"]) for row in by_state[state]} == {
            (step, True, "", -1)
        }
    scores = score_attacked(
        pd.read_parquet(tmp_path / "ruins.parquet"), pd.read_parquet(mini_benchmark / "questions.parquet"), SETTINGS
    )
    whole, ruined = (scores[scores["variant"] == state] for state in ("whole", "ruined"))
    assert whole["value"].notna().all() and ruined["value"].isna().all()
    assert list(zip(whole["question_id"], whole["metric"], strict=True)) == list(
        zip(ruined["question_id"], ruined["metric"], strict=True)
    )


def test_a_model_is_asked_in_every_state(job: Callable[..., Rows]) -> None:
    rows, same = job("twice"), job("same")
    states = [(row["variant"], row["step"]) for row in rows]
    assert states == [("first", 0)] * len(same) + [("second", 3)] * len(same)
    answers = [(row["output"], row["option_log_likelihoods"]) for row in rows]
    assert answers[: len(same)] == [(row["output"], row["option_log_likelihoods"]) for row in same]
    assert answers[len(same) :] != answers[: len(same)]


def test_a_state_that_is_yielded_twice_is_refused(job: Callable[..., Rows]) -> None:
    with pytest.raises(ValueError, match="attack 'stuck' yields State.* twice; expected another variant or step"):
        job("stuck")


def test_an_attack_on_pictures_asks_the_questions_that_have_one(
    job: Callable[..., Rows], mini_benchmark: Path, model_spec: dict[str, Any]
) -> None:
    rows = job("negative")
    with_picture = [question for question in forgotten_questions(mini_benchmark) if question["image_id"]]
    assert {row["question_id"] for row in rows} == {question["question_id"] for question in with_picture}
    before = {row["question_id"]: row for row in unattacked(model_spec, mini_benchmark)}
    assert any(row["option_log_likelihoods"] != before[row["question_id"]]["option_log_likelihoods"] for row in rows)


def test_a_changed_picture_is_the_attacks_own_without_a_loss(toys: None, mini_benchmark: Path) -> None:
    changes = [[Changed(question, question) for question in forgotten_questions(mini_benchmark)]]
    plain = dict(attacked_images(REGISTRY["same"], {}, mini_benchmark, changes, 0))
    for name, data in attacked_images(REGISTRY["negative"], {}, mini_benchmark, changes, 0):
        before, after = (np.asarray(Image.open(io.BytesIO(d)).convert("RGB")) for d in (plain[name], data))
        assert np.array_equal(after, 255 - before)


def test_random_numbers_depend_on_seed_and_picture_alone(toys: None, mini_benchmark: Path) -> None:
    changes = [[Changed(question, question) for question in forgotten_questions(mini_benchmark)]]

    def dots(changes: Any, seed: int) -> dict[str, bytes]:
        return dict(attacked_images(REGISTRY["dots"], {}, mini_benchmark, changes, seed))

    first = dots(changes, 0)
    assert dots([changes[0][::-1]], 0) == first and dots(changes, 1) != first
    (name, data), *_ = first.items()
    only = [[change for change in changes[0] if change.original["image_id"] == name]]
    assert dots(only, 0) == {name: data}


def test_options_in_another_order_are_put_back(
    job: Callable[..., Rows], mini_benchmark: Path, model_spec: dict[str, Any]
) -> None:
    """Read in the benchmark's order, the answer to a question in that order is the ordinary one, and others are close to it."""
    rows = job("turned")
    questions = {q["question_id"]: q for q in forgotten_questions(mini_benchmark) if q["options"]}
    assert {row["question_id"] for row in rows} == set(questions)
    before = {row["question_id"]: row for row in unattacked(model_spec, mini_benchmark)}
    for row in rows:
        question = questions[row["question_id"]]
        assert row["version"] in range(len(question["options"]))
        means = np.array(row["option_log_likelihoods"]) / np.array(row["option_tokens"])
        assert row["choice"] == means.argmax() and row["output"] == question["options"][row["choice"]]
        assert row["correct"] == (row["choice"] == question["answer_index"])
        assert row["option_tokens"] == before[row["question_id"]]["option_tokens"]
        if row["version"] == 0:
            assert row["option_log_likelihoods"] == pytest.approx(before[row["question_id"]]["option_log_likelihoods"])


def test_an_attack_may_change_its_question_in_place(toys: None, mini_benchmark: Path) -> None:
    expected = {question["question_id"]: question for question in forgotten_questions(mini_benchmark)}
    (changes,) = attacked_questions(REGISTRY["reversed"], {}, mini_benchmark, forget_percent=25, tasks=TASKS, seed=0)
    for question, original in changes:
        assert original == expected[original["question_id"]]
        assert question["options"] == original["options"][::-1]


def test_a_row_is_put_back_by_hand() -> None:
    original = {"question_id": "q", "options": ["a", "b", "c"], "answer": "c", "answer_index": 2}
    changed = {**original, "options": ["c", "a", "b"], "answer_index": 0}
    prediction = {
        "question_id": "q",
        "output": "a",
        "reference": "c",
        "option_log_likelihoods": [-3.0, -1.0, -2.0],
        "option_tokens": [30, 10, 20],
        "choice": 1,
        "correct": False,
    }
    assert attacked_row(prediction, State("x", 5), 1, changed, original) == {
        "variant": "x",
        "step": 5,
        "diverged": False,
        "version": 1,
        "question_id": "q",
        "output": "a",
        "reference": "c",
        "option_log_likelihoods": [-1.0, -2.0, -3.0],
        "option_tokens": [10, 20, 30],
        "choice": 0,
        "correct": False,
    }


def test_a_question_may_get_another_picture_of_its_person(toys: None, mini_benchmark: Path) -> None:
    def changed(seed: int) -> list[Changed]:
        (changes,) = attacked_questions(
            REGISTRY["any_photo"], {}, mini_benchmark, forget_percent=25, tasks=TASKS, seed=seed
        )
        return changes

    for question, original in changed(0):
        assert question["image_id"] != original["image_id"]
        assert question["image_id"].split("/")[0] == original["person_id"]
        assert question | {"image_id": 0} == original | {"image_id": 0}
    assert changed(0) == changed(0)
    assert [change.original["question_id"] for change in changed(0)] == sorted(
        question["question_id"] for question in forgotten_questions(mini_benchmark) if question["image_id"]
    )


@pytest.mark.parametrize(
    ("name", "tasks", "message"),
    [
        (
            "renamed",
            TASKS,
            r"attack 'renamed' makes \[.*\] of the options of question '.*'; expected \[.*\], in any order",
        ),
        ("silent", TASKS, "attack 'silent' concerns no question about the people to forget; set it to false"),
        ("turned", ["cloze"], "attack 'turned' concerns no question about the people to forget; set it to false"),
    ],
)
def test_questions_that_cannot_be_scored_are_refused(
    toys: None, mini_benchmark: Path, name: str, tasks: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        attacked_questions(REGISTRY[name], {}, mini_benchmark, forget_percent=25, tasks=tasks, seed=0)
