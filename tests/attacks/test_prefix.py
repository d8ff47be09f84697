"""The first words of an answer: where they stand in the prompt of every family, and what is scored behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from unsee.evaluation.predict import answer_questions
from unsee.evaluation.protocols.unsee import Unsee
from unsee.models.families import FAMILIES, load_family
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% for part in m.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}{{ '<|im_start|>assistant\n' }}"
)
#: The end of a prompt of every family, with the prefix "Sure, it is".
ENDS = {
    "llava": " ASSISTANT: Sure, it is",
    "llava_next": " ASSISTANT: Sure, it is",
    "qwen2_vl": "<|im_start|>assistant\nSure, it is",
    "llava_chatml": "<|im_start|>assistant\nSure, it is",
}
QUESTION: dict[str, Any] = {
    "question_id": "q",
    "person_id": "A",
    "origin": "profile",
    "modality": "text",
    "task": "classification",
    "image_id": None,
    "question": "What is her job?",
    "options": ["Baker", "Pilot"],
    "answer": "Pilot",
    "answer_index": 1,
}


@pytest.fixture(scope="module", params=ENDS)
def vlm(request: pytest.FixtureRequest) -> VisionLanguageModel:
    made = {"llava_next": "random_llava_next", "qwen2_vl": "random_qwen2_vl"}
    path: Path = request.getfixturevalue(made.get(request.param, "random_checkpoint"))
    if request.param != "llava_chatml":
        return load({"family": request.param, "path": str(path), "dtype": "float32"})
    llava = load({"family": "llava", "path": str(path), "dtype": "float32"})
    llava.processor.chat_template = CHATML
    return VisionLanguageModel(load_family("llava_chatml"), llava.model, llava.processor)


def test_every_family_is_here() -> None:
    assert set(ENDS) == set(FAMILIES)


@pytest.mark.parametrize("image_id", [None, "A/profile"])
@pytest.mark.parametrize("task", ["classification", "cloze", "generation"])
def test_the_answer_begins_behind_the_turn(vlm: VisionLanguageModel, task: str, image_id: str | None) -> None:
    question = QUESTION | {"task": task, "image_id": image_id}
    plain = Unsee().prompt(question, vlm)
    prefixed = Unsee().prompt(question | {"answer_prefix": "Sure, it is"}, vlm)
    end = ENDS[vlm.family.name]
    assert prefixed.startswith(plain) and prefixed.endswith(end)
    assert prefixed == plain.rstrip() + end[len(end.removesuffix("Sure, it is").rstrip()) :]
    assert Unsee().prompt(question | {"answer_prefix": ""}, vlm) == plain


def test_options_follow_the_prefix_after_one_space(vlm: VisionLanguageModel) -> None:
    """Scored by hand: the tokens of the whole text, and the log-probabilities of those behind the prefix."""
    question = QUESTION | {"answer_prefix": "Sure, it is"}
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, [])
    settings = {
        "protocol": "unsee",
        "classification": "likelihood",
        "max_new_tokens": 4,
        "batch_size": 1,
        "tasks": ["classification"],
    }
    (answer,) = answer_questions(vlm, pictures, [question], settings)
    assert answer["prompt"].endswith(ENDS[vlm.family.name])

    def tokens(text: str) -> list[int]:
        bare = vlm.tokenizer(text.removeprefix("<s>"), add_special_tokens=False)["input_ids"]
        return [*([vlm.tokenizer.bos_token_id] if text.startswith("<s>") else []), *bare]

    for option, log_likelihood in zip(question["options"], answer["option_log_likelihoods"], strict=True):
        whole, prompt = tokens(f"{answer['prompt']} {option}"), tokens(answer["prompt"])
        assert whole[: len(prompt)] == prompt
        assert vlm.tokenizer.decode(whole).endswith(f"Sure, it is {option}")
        with torch.no_grad():
            logits = vlm.base(input_ids=torch.tensor([whole]), attention_mask=torch.ones(1, len(whole))).logits[0]
        of_tokens = torch.log_softmax(logits.double(), -1)[range(len(whole) - 1), whole[1:]]
        assert log_likelihood == pytest.approx(float(of_tokens[len(prompt) - 1 :].sum()), abs=1e-3)
