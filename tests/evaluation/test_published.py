"""Published protocols through the engine against the plain way: one prompt at a time, through transformers' own generate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from unsee.benchmarks.tables import read_images
from unsee.evaluation.predict import answer_questions
from unsee.evaluation.protocol import prompt_images
from unsee.evaluation.protocols.load import load_protocol
from unsee.evaluation.questions import protocol_questions
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures

ModelAndRows = tuple[VisionLanguageModel, Pictures, list[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module", params=["llava behind examples", "qwen2_vl"])
def model_and_rows(
    request: pytest.FixtureRequest,
    random_checkpoint: Path,
    random_qwen2_vl: Path,
    mini_benchmark: Path,
    many_shapes: Any,
) -> ModelAndRows:
    family = request.param.split()[0]
    path = {"llava": random_checkpoint, "qwen2_vl": random_qwen2_vl}[family]
    vlm = load({"family": family, "path": str(path), "dtype": "float32"})
    vlm.base.config.get_text_config().max_position_embeddings = 4096  # bytes of a small vocabulary are many tokens
    head = vlm.base.get_output_embeddings()  # see test_engine.py
    head.weight = torch.nn.Parameter(torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(0)))
    vlm.base.requires_grad_(False)
    settings = {"protocol": "mllmu-official" if vlm.written_turns else "mmunlearner", "batch_size": 16}
    rows = protocol_questions(mini_benchmark, [25], load_protocol(settings))
    kinds: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        kinds.setdefault((row["origin"], row["task"], row["modality"]), row)
    distinct = list(kinds.values())
    images = many_shapes(read_images(mini_benchmark, {image_id for row in distinct for image_id in prompt_images(row)}))
    return vlm, Pictures(vlm.family, vlm.base, vlm.processor, images), distinct, settings


def test_answers_equal_generate(model_and_rows: ModelAndRows, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm, shown, rows, settings = model_and_rows
    protocol = load_protocol(settings)
    monkeypatch.setattr(type(protocol), "max_new_tokens", 6)
    answers = {a["question_id"]: a for a in answer_questions(vlm, shown, rows, settings)}
    assert len(answers) == len(rows) == 18
    assert len({a["output"] for a in answers.values()}) > 10, "a test of one answer tests nothing"
    for row in rows:
        answer = answers[row["question_id"]]
        text = {"text": answer["prompt"], "return_tensors": "pt", "add_special_tokens": False}
        if prompt_images(row):
            inputs = vlm.processor(images=[shown.image(image_id) for image_id in prompt_images(row)], **text)
        else:  # the tokenizer alone: a placeholder that no picture fills is a word like any other
            inputs = vlm.tokenizer(**text)
        tokens = vlm.base.generate(**inputs, max_new_tokens=6, do_sample=False)
        written = vlm.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert answer["output"] == protocol.extract_answer(written)
        assert answer["option_log_likelihoods"] == []
        assert (answer["correct"] is None) == (row["task"] != "classification")


def test_batch_size_and_order_change_no_bit(model_and_rows: ModelAndRows, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm, shown, rows, settings = model_and_rows
    monkeypatch.setattr(type(load_protocol(settings)), "max_new_tokens", 3)
    assert answer_questions(vlm, shown, rows[::-1], {**settings, "batch_size": 3}) == answer_questions(
        vlm, shown, rows, settings
    )


def test_a_prompt_that_is_too_long_is_named_before_the_model_runs(
    model_and_rows: ModelAndRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm, shown, rows, settings = model_and_rows
    protocol = load_protocol(settings)

    def length(row: dict[str, Any]) -> int:
        (request,) = vlm.requests(protocol.prompt(row, vlm), [None], shown, prompt_images(row))
        return len(request.tokens)

    long = max(rows, key=length)
    n, k = length(long), len(prompt_images(long))
    config = vlm.base.config.get_text_config()
    monkeypatch.setattr(vlm.base, "forward", None)
    monkeypatch.setattr(vlm.family.language_model(vlm.base), "forward", None)
    monkeypatch.setattr(config, "max_position_embeddings", n - 1)
    expected = (
        f"^question '{long['question_id']}': its prompt has {n} tokens, .* its {k} pictures; the model takes {n - 1}"
    )
    with pytest.raises(ValueError, match=expected):
        answer_questions(vlm, shown, [rows[-1], long], settings)
    monkeypatch.setattr(config, "max_position_embeddings", n)
    with pytest.raises(TypeError):  # asked, for it fits
        answer_questions(vlm, shown, [long], settings)
