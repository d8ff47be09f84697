"""An unlearned model at parts of its update is vanilla, itself, and what a plain sum of weights gives in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.utils.constants import DUMMY_TARGET_MODULES

from unsee.benchmarks.tables import read_images
from unsee.evaluation.predict import answer_questions
from unsee.evaluation.questions import read_questions
from unsee.evaluation.rescaled import predict_rescaled, sample
from unsee.models.model import load, merge
from unsee.models.pictures import Pictures
from unsee.training.lora import add_lora, save_adapter
from unsee.training.settings import LoraSettings

SETTINGS = {"classification": "likelihood", "batch_size": 4, "max_new_tokens": 4}


@pytest.fixture(scope="module")
def adapters(model_spec: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Vanilla's and two unlearned models', with random weights that show: of low rank, and whole modules."""
    folders = {}
    for seed, name in enumerate(("vanilla", "low rank", "whole")):
        vlm = load(model_spec, list(folders.values())[:1])
        if name == "whole":
            names = [n for n, _ in vlm.base.named_modules() if n.endswith("down_proj")]
            config = LoraConfig(target_modules=DUMMY_TARGET_MODULES, modules_to_save=names)
            vlm.model = get_peft_model(vlm.base, config)
        else:
            add_lora(vlm, LoraSettings(rank=2, alpha=4, dropout=0.0, scope="language"), seed)
        torch.manual_seed(seed)
        for key, weight in vlm.model.named_parameters():
            if "lora_B" in key or "modules_to_save" in key:
                weight.data += torch.randn_like(weight) * 0.3
        folders[name] = tmp_path_factory.mktemp("adapter")
        save_adapter(vlm, folders[name])
    return folders


@pytest.mark.parametrize("kind", ["low rank", "whole"])
def test_parts_of_an_update_are_a_sum_of_weights(
    model_spec: dict[str, Any], adapters: dict[str, Path], kind: str
) -> None:
    vanilla, unlearned = adapters["vanilla"], adapters[kind]
    before, after = (
        dict(load(model_spec, list(folders)).base.named_parameters()) for folders in ([vanilla], [vanilla, unlearned])
    )
    vlm = load(model_spec, [vanilla])
    done = 0.0
    for scale in (0.25, 0.75, 1.0):
        vlm.model = merge(vlm.model, unlearned, scale, done=done)
        done = scale
        for name, weight in vlm.base.named_parameters():
            expected = before[name] + scale * (after[name] - before[name])
            torch.testing.assert_close(weight, expected, atol=1e-5, rtol=1e-5)
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed and not any("lora" in name or "save" in name for name in dict(vlm.base.named_parameters()))


def test_answers_are_those_of_a_model_with_these_weights(
    model_spec: dict[str, Any], adapters: dict[str, Path], mini_benchmark: Path, tmp_path: Path
) -> None:
    vanilla, unlearned = adapters["vanilla"], adapters["low rank"]
    predict_rescaled(
        model_spec,
        mini_benchmark,
        vanilla=vanilla,
        adapter=unlearned,
        scales=[1.0, 0.5],
        forget_percent=25,
        others=2,
        settings=SETTINGS,
        threads=1,
        output=tmp_path / "rescaled.parquet",
    )
    table = pd.read_parquet(tmp_path / "rescaled.parquet")
    assert table["scale"].unique().tolist() == [0.5, 1.0]
    whole = table[table["scale"] == 1.0].set_index("question_id")
    rows = [row for row in read_questions(mini_benchmark, [25]) if row["question_id"] in whole.index]
    splits = pd.read_parquet(mini_benchmark / "splits.parquet").query("forget_percent == 25")
    gone = set(splits.loc[splits["role"] == "forget", "person_id"])
    people = {row["person_id"] for row in rows}
    assert gone < people and len(people) == len(gone) + 2 + 2
    vlm = load(model_spec, [vanilla, unlearned])
    images = read_images(mini_benchmark, {row["image_id"] for row in rows if row["image_id"]})
    for answer in answer_questions(vlm, Pictures(vlm.family, vlm.base, vlm.processor, images), rows, SETTINGS):
        mine = whole.loc[answer["question_id"]]
        assert mine["option_log_likelihoods"] == pytest.approx(answer["option_log_likelihoods"], abs=1e-3)
        assert mine["output"] == answer["output"]
    halves = table[table["scale"] == 0.5]["option_log_likelihoods"].str[0].dropna().to_numpy()
    assert abs(halves - whole["option_log_likelihoods"].str[0].dropna().to_numpy()).max() > 0.01


def test_the_same_people_are_asked_at_any_number(mini_benchmark: Path) -> None:
    questions = read_questions(mini_benchmark, [25])
    gone = sorted({row["person_id"] for row in questions if row["origin"] == "test"})
    few, more, everybody = ({row["person_id"] for row in sample(questions, gone, n)} for n in (2, 4, None))
    assert len(few) == len(gone) + 2 + 2 and len(more) == len(gone) + 4 + 4
    assert everybody == {row["person_id"] for row in questions}
    assert sample(questions, gone, 100) == questions


def test_others_are_asked_their_tasks_only(mini_benchmark: Path) -> None:
    questions = read_questions(mini_benchmark, [25])
    gone = sorted({row["person_id"] for row in questions if row["origin"] == "test"})
    whole, part = sample(questions, gone, 2), sample(questions, gone, 2, ["classification"])
    assert {row["task"] for row in whole if row["person_id"] not in gone} > {"classification"}
    assert part == [row for row in whole if row["person_id"] in gone or row["task"] == "classification"]
