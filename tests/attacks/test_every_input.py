"""The job of every attack on pictures and questions, as config.yaml has it, with a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from unsee.attacks import catalogue
from unsee.attacks.attack import get
from unsee.attacks.inputs import attacked_images, attacked_questions
from unsee.attacks.run import attack_model
from unsee.evaluation.predict import answer_questions
from unsee.evaluation.settings import TASKS
from unsee.models.model import load
from unsee.models.pictures import Pictures

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())["attacks"]
ATTACKS = {name: attack for name, attack in catalogue.read().items() if attack.kind != "weights"}
SETTINGS: dict[str, Any] = {
    "protocol": "unsee",
    "classification": "letter",
    "batch_size": 4,
    "max_new_tokens": 3,
    "tasks": list(TASKS),
}


def test_config_yaml_has_every_one_of_them() -> None:
    assert set(ATTACKS) <= set(CONFIG)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by all attacks, as in the workflow."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("name", ATTACKS)
def test_its_answers_are_those_to_the_changed_questions_and_pictures(
    name: str, model_spec: dict[str, Any], mini_benchmark: Path, cache: Path, tmp_path: Path
) -> None:
    """Whatever the cache holds; and put back into the benchmark's order of options by index."""
    options, output = CONFIG[name] or {}, tmp_path / "answers.parquet"
    attack_model(
        model_spec,
        mini_benchmark,
        adapters=[],
        attack=name,
        options=options,
        forget_percent=25,
        seed=0,
        division={},
        settings=SETTINGS,
        threads=1,
        output=output,
        cache=cache,
    )
    rows = pq.read_table(output).to_pylist()

    attack, vlm = get(name), load(model_spec)
    versions = attacked_questions(attack, options, mini_benchmark, forget_percent=25, tasks=TASKS, seed=0)
    images = attacked_images(attack, options, mini_benchmark, versions, 0)
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    assert {row["version"] for row in rows} == set(range(len(versions)))
    for version, changes in enumerate(versions):
        changed = {change.question["question_id"]: change for change in changes}
        answers = answer_questions(vlm, pictures, [change.question for change in changes], SETTINGS)
        of_version = [row for row in rows if row["version"] == version]
        assert [row["question_id"] for row in of_version] == sorted(changed)
        for row, answer in zip(of_version, answers, strict=True):
            question, original = changed[row["question_id"]]
            assert (row["output"] == answer["output"]) and row["prompt"] == answer["prompt"]
            if original["options"]:
                k = version if name == "orders" else 0
                n = len(original["options"])
                assert row["option_log_likelihoods"] == [
                    answer["option_log_likelihoods"][(i - k) % n] for i in range(n)
                ]
                assert original["options"][row["choice"]] == row["output"] == question["options"][answer["choice"]]
                assert row["correct"] == answer["correct"] == (row["output"] == original["answer"])
