"""The engine against the plain way: one question at a time, through transformers' own generate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from unsee.evaluation.engine import answer, select
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures
from unsee.training.pairs import read_images

SETTINGS = {"classification": "likelihood", "batch_size": 16, "max_new_tokens": 8}


@pytest.fixture(scope="module")
def asked(
    model_spec: dict[str, Any], mini_benchmark: Path
) -> tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]]:
    vlm = load(model_spec)
    rows = [row for row in select(mini_benchmark, [25]) if row["person_id"] in ("000", "001", "celebrity-002")]
    images = read_images(mini_benchmark, {row["image_id"] for row in rows if row["image_id"]})
    return vlm, Pictures(vlm.family, vlm.base, vlm.processor, images), rows


def test_test_questions_are_those_of_the_forgotten(mini_benchmark: Path) -> None:
    rows = select(mini_benchmark, [25])
    assert len({row["person_id"] for row in rows if row["origin"] == "test"}) == 3
    assert len({row["person_id"] for row in rows if row["origin"] == "profile"}) == 12


def test_open_answers_equal_generate(asked: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]]) -> None:
    vlm, pictures, rows = asked
    open_rows = [row for row in rows if row["task"] != "classification"]
    for row, found in zip(open_rows, answer(vlm, pictures, open_rows, SETTINGS), strict=True):
        assert found["question_id"] == row["question_id"]
        images = [pictures.image(row["image_id"])] if row["image_id"] else None
        inputs = vlm.processor(text=found["prompt"], images=images, return_tensors="pt", add_special_tokens=False)
        tokens = vlm.base.generate(**inputs, max_new_tokens=8, do_sample=False)
        new = tokens[0, inputs["input_ids"].shape[1] :]
        assert found["output"] == vlm.tokenizer.decode(new, skip_special_tokens=True).strip()


def test_option_likelihoods_equal_the_plain_forward(
    asked: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]],
) -> None:
    vlm, pictures, rows = asked
    chosen = [row for row in rows if row["task"] == "classification"][::7]
    for row, found in zip(chosen, answer(vlm, pictures, chosen, SETTINGS), strict=True):
        images = [pictures.image(row["image_id"])] if row["image_id"] else None
        start = vlm.processor(text=found["prompt"], images=images, return_tensors="pt", add_special_tokens=False)
        n = start["input_ids"].shape[1]
        for option, total, count in zip(
            row["options"], found["option_log_likelihoods"], found["option_tokens"], strict=True
        ):
            whole = vlm.processor(
                text=f"{found['prompt']} {option}", images=images, return_tensors="pt", add_special_tokens=False
            )
            tokens = whole["input_ids"][0, n:]
            with torch.no_grad():
                logits = vlm.base(**whole).logits[0, n - 1 : -1].log_softmax(-1)
            assert len(tokens) == count
            assert total == pytest.approx(logits.gather(1, tokens[:, None]).sum().item(), abs=1e-3)
        means = [a / b for a, b in zip(found["option_log_likelihoods"], found["option_tokens"], strict=True)]
        assert found["choice"] == means.index(max(means))
        assert found["correct"] is (row["options"][found["choice"]] == row["answer"])


def test_neither_batch_size_nor_order_nor_company_matters(
    asked: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]],
) -> None:
    vlm, pictures, rows = asked
    together = {a["question_id"]: a for a in answer(vlm, pictures, rows, SETTINGS)}
    shuffled = answer(vlm, pictures, rows[::-1], {**SETTINGS, "batch_size": 1})
    alone = answer(vlm, pictures, rows[5:6], SETTINGS) + answer(vlm, pictures, rows[-1:], SETTINGS)
    for other in shuffled + alone:
        mine = together[other["question_id"]]
        assert other["output"] == mine["output"]
        assert other["option_log_likelihoods"] == pytest.approx(mine["option_log_likelihoods"], abs=2e-4)


def test_letters_can_be_scored_instead(asked: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]]) -> None:
    vlm, pictures, rows = asked
    row = next(row for row in rows if row["task"] == "classification")
    (found,) = answer(vlm, pictures, [row], {**SETTINGS, "classification": "letter"})
    assert len(set(found["option_tokens"])) == 1, "letters are equally long"
    assert "\nA: " in found["prompt"] and "Just give ONE letter" in found["prompt"]
    assert found["output"] == row["options"][found["choice"]]
