"""The engine against the plain way: one question at a time, through transformers' own generate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from unsee.benchmarks.tables import read_images
from unsee.evaluation.predict import answer_questions
from unsee.evaluation.questions import read_questions
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures

SETTINGS = {"classification": "likelihood", "batch_size": 16, "max_new_tokens": 8}


@pytest.fixture(scope="module")
def model_and_rows(
    family_spec: dict[str, Any], mini_benchmark: Path, many_shapes: Any
) -> tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]]:
    vlm = load(family_spec)
    # Random weights with a tied head only repeat the last token, and any decoding would do.
    head = vlm.base.get_output_embeddings()
    head.weight = torch.nn.Parameter(torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(0)))
    vlm.base.requires_grad_(False)
    rows = [row for row in read_questions(mini_benchmark, [25]) if row["person_id"] in ("000", "001", "celebrity-002")]
    images = many_shapes(read_images(mini_benchmark, {row["image_id"] for row in rows if row["image_id"]}))
    return vlm, Pictures(vlm.family, vlm.base, vlm.processor, images), rows


def test_test_questions_are_those_of_the_forgotten(mini_benchmark: Path) -> None:
    rows = read_questions(mini_benchmark, [25])
    assert len({row["person_id"] for row in rows if row["origin"] == "test"}) == 3
    assert len({row["person_id"] for row in rows if row["origin"] == "profile"}) == 12


def test_open_answers_equal_generate(
    model_and_rows: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]],
) -> None:
    vlm, pictures, rows = model_and_rows
    open_rows = [row for row in rows if row["task"] != "classification"]
    answers = answer_questions(vlm, pictures, open_rows, SETTINGS)
    assert len({answer["output"] for answer in answers}) > 10, "a test of one answer tests nothing"
    for row, answer in zip(open_rows, answers, strict=True):
        assert answer["question_id"] == row["question_id"]
        inputs = _inputs(vlm, pictures, answer["prompt"], row["image_id"])
        tokens = vlm.base.generate(**inputs, max_new_tokens=8, do_sample=False)
        new = tokens[0, inputs["input_ids"].shape[1] :]
        assert answer["output"] == vlm.tokenizer.decode(new, skip_special_tokens=True).strip()


def test_option_likelihoods_equal_the_plain_forward(
    model_and_rows: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]],
) -> None:
    vlm, pictures, rows = model_and_rows
    multiple_choice = [row for row in rows if row["task"] == "classification"][::7]
    for row, answer in zip(multiple_choice, answer_questions(vlm, pictures, multiple_choice, SETTINGS), strict=True):
        n = _inputs(vlm, pictures, answer["prompt"], row["image_id"])["input_ids"].shape[1]
        for option, total, count in zip(
            row["options"], answer["option_log_likelihoods"], answer["option_tokens"], strict=True
        ):
            whole = _inputs(vlm, pictures, f"{answer['prompt']}{vlm.family.seam}{option}", row["image_id"])
            tokens = whole["input_ids"][0, n:]
            with torch.no_grad():
                logits = vlm.base(**whole).logits[0, n - 1 : -1].log_softmax(-1)
            assert len(tokens) == count
            assert total == pytest.approx(logits.gather(1, tokens[:, None]).sum().item(), abs=1e-3)
        means = [a / b for a, b in zip(answer["option_log_likelihoods"], answer["option_tokens"], strict=True)]
        assert answer["choice"] == means.index(max(means))
        assert answer["correct"] is (row["options"][answer["choice"]] == row["answer"])


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_neither_batch_size_nor_order_changes_a_bit(
    model_and_rows: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]], batch_size: int
) -> None:
    vlm, pictures, rows = model_and_rows
    other = answer_questions(vlm, pictures, rows[::-1], {**SETTINGS, "batch_size": batch_size})
    assert other == answer_questions(vlm, pictures, rows, SETTINGS)


def test_company_on_a_picture_does_not_matter(
    model_and_rows: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]],
) -> None:
    vlm, pictures, rows = model_and_rows
    together = {a["question_id"]: a for a in answer_questions(vlm, pictures, rows, SETTINGS)}
    for row in (rows[5], rows[-1]):
        (alone,) = answer_questions(vlm, pictures, [row], SETTINGS)
        mine = together[row["question_id"]]
        assert alone["output"] == mine["output"]
        assert alone["option_log_likelihoods"] == pytest.approx(mine["option_log_likelihoods"], abs=2e-4)


def test_answers_end_one_by_one(
    model_and_rows: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm, pictures, rows = model_and_rows
    rows = [row for row in rows if row["task"] != "classification"]
    written = {}
    for answer, row in zip(answer_questions(vlm, pictures, rows, SETTINGS), rows, strict=True):
        inputs = _inputs(vlm, pictures, answer["prompt"], row["image_id"])
        tokens = vlm.base.generate(**inputs, max_new_tokens=8, do_sample=False)
        written[row["question_id"]] = tokens[0, inputs["input_ids"].shape[1] :].tolist()

    def before(end: int) -> list[int]:
        return [tokens.index(end) if end in tokens else 8 for tokens in written.values()]

    # A random model never ends by itself: let the word be the end that comes at the most different places.
    end = max({token for tokens in written.values() for token in tokens}, key=lambda token: len(set(before(token))))
    assert len(set(before(end))) > 2, "they should end at different steps"
    monkeypatch.setattr(type(vlm.tokenizer), "eos_token_id", end, raising=False)
    for answer in answer_questions(vlm, pictures, rows, SETTINGS):
        tokens = written[answer["question_id"]]
        tokens = tokens[: tokens.index(end)] if end in tokens else tokens
        assert answer["output"] == vlm.tokenizer.decode(tokens, skip_special_tokens=True).strip()


def test_only_what_is_asked_for_is_projected(
    model_and_rows: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]],
) -> None:
    vlm, pictures, rows = model_and_rows
    rows = [row for row in rows if row["person_id"] == "000" and row["origin"] == "profile"]
    projected: list[int] = []
    hook = vlm.base.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: projected.append(output.shape[:-1].numel())
    )
    try:
        answers = answer_questions(vlm, pictures, rows, {**SETTINGS, "max_new_tokens": 3})
    finally:
        hook.remove()
    n_cloze, n_generation = (sum(row["task"] == task for row in rows) for task in ("cloze", "generation"))
    # The options' tokens; and of each task the first words of the open answers, and then a word each for two steps.
    assert projected == [sum(sum(a["option_tokens"]) for a in answers), *[n_cloze] * 3, *[n_generation] * 3]


def test_each_picture_is_encoded_once(
    model_and_rows: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]],
    mini_benchmark: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vlm, _, rows = model_and_rows
    images = read_images(mini_benchmark, {row["image_id"] for row in rows if row["image_id"]})
    fresh = Pictures(vlm.family, vlm.base, vlm.processor, images)
    encoded: list[int] = []
    encode = vlm.family.image_features

    def counted(*arguments: Any) -> list[Tensor]:
        features = encode(*arguments)
        encoded.append(len(features))
        return features

    monkeypatch.setattr(vlm.family, "image_features", counted)
    answer_questions(vlm, fresh, rows, SETTINGS)
    assert encoded == [1] * len({row["image_id"] for row in rows if row["image_id"]})


@pytest.mark.parametrize("scoring", ["likelihood", "likelihood_sum", "letter"])
def test_where_nothing_is_chosen_options_are_scored_by_their_text(
    model_and_rows: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]], scoring: str
) -> None:
    vlm, pictures, rows = model_and_rows
    row = next(row for row in rows if row["task"] == "classification")
    (classified,) = answer_questions(vlm, pictures, [row], SETTINGS)
    (scored,) = answer_questions(
        vlm, pictures, [{**row, "task": "likelihood"}], {**SETTINGS, "classification": scoring}
    )
    assert scored == classified


def test_letters_can_be_scored_instead(
    model_and_rows: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]],
) -> None:
    vlm, pictures, rows = model_and_rows
    row = next(row for row in rows if row["task"] == "classification")
    (answer,) = answer_questions(vlm, pictures, [row], {**SETTINGS, "classification": "letter"})
    assert len(set(answer["option_tokens"])) == 1, "letters are equally long"
    assert "\nA: " in answer["prompt"] and "Just give ONE letter" in answer["prompt"]
    assert answer["output"] == row["options"][answer["choice"]]


def test_the_sum_can_be_compared_instead(
    model_and_rows: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]],
) -> None:
    vlm, pictures, rows = model_and_rows
    # To a random model every word is about as unlikely as any other, so the one-word option has the highest sum.
    row = {**next(row for row in rows if row["task"] == "classification"), "answer_index": 1, "answer": "Baker"}
    row["options"] = ["a person who bakes bread in Oslo", "Baker"]
    (by_mean,) = answer_questions(vlm, pictures, [row], SETTINGS)
    (by_sum,) = answer_questions(vlm, pictures, [row], {**SETTINGS, "classification": "likelihood_sum"})
    assert (by_sum["choice"], by_sum["output"], by_sum["correct"]) == (1, "Baker", True)
    assert by_sum["option_log_likelihoods"] == by_mean["option_log_likelihoods"]
    assert by_sum["prompt"] == by_mean["prompt"]
    sums = by_sum["option_log_likelihoods"]
    assert sums.index(max(sums)) == 1


def _inputs(vlm: VisionLanguageModel, pictures: Pictures, text: str, image_id: str | None) -> Any:
    images = [pictures.image(image_id)] if image_id else None
    return vlm.processor(text=text, images=images, return_tensors="pt", add_special_tokens=False)


def test_the_tasks_that_are_asked_together_change_no_bit(
    model_and_rows: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]],
) -> None:
    vlm, pictures, rows = model_and_rows
    together = {answer["question_id"]: answer for answer in answer_questions(vlm, pictures, rows, SETTINGS)}
    for tasks in (["classification"], ["cloze"], ["generation"], ["generation", "cloze"]):
        alone = answer_questions(vlm, pictures, rows, {**SETTINGS, "tasks": tasks})
        assert {row["question_id"] for row in alone} == {row["question_id"] for row in rows if row["task"] in tasks}
        assert alone == [together[answer["question_id"]] for answer in alone]


def test_the_model_reads_each_picture_once(
    model_and_rows: tuple[VisionLanguageModel, Pictures, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm, pictures, rows = model_and_rows
    read: list[str] = []
    embed = VisionLanguageModel.embed

    def noting(self: VisionLanguageModel, batch: Any, pictures: Any) -> Tensor:
        read.extend(batch.image_ids)
        return embed(self, batch, pictures)

    monkeypatch.setattr(VisionLanguageModel, "embed", noting)
    answer_questions(vlm, pictures, rows, SETTINGS)
    assert sorted(read) == sorted({row["image_id"] for row in rows if row["image_id"]})
