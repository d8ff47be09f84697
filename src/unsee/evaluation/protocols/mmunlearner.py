"""MMUnlearner's evaluation (its MLLMU_eval.py): prompts as in MLLMU-Bench for LLaVA, partly by the chat template for Qwen2-VL."""

from __future__ import annotations

import re

from unsee.evaluation.protocol import ChatModel, Question
from unsee.evaluation.protocols import published


class MMUnlearner(published.Published):
    """See :class:`unsee.evaluation.protocol.Protocol`.

    Args:
        seed: the seed of the draws.
        shots: the number of people whose questions are examples of multiple choice and cloze, 0 or 1.
    """

    name = "mmunlearner"
    version = 1

    def __init__(self, *, seed: int = 0, shots: int = 0) -> None:
        super().__init__(seed=seed)
        self._shots = shots

    def example_people(self, task: str) -> int:
        return 0 if task == "generation" else self._shots

    def prompt(self, question: Question, chat_model: ChatModel) -> str:
        with_image, text = question["image_id"] is not None, question["question"]
        if chat_model.written_turns:
            return chat_model.raw(published.manual_prompt(question))
        if question["task"] == "cloze":
            # Without a picture, the published prompt still has a placeholder, and it has no examples.
            before = f"{published.examples_text(question)}\n" if with_image else ""
            return chat_model.prompt(f"{before}{published.blank(text)}", with_image=True)
        if not with_image:
            return chat_model.raw(published.manual_prompt(question))
        if question["task"] == "generation":
            return chat_model.prompt(f"{text}\n{published.ACCURATELY}", with_image=True)
        words = f"{published.examples_text(question)}\n{text}\n{published.options(question)}\n{published.ONE_LETTER}"
        return chat_model.prompt(words, with_image=True)

    def extract_answer(self, text: str) -> str:
        return text

    def parse_choice(self, question: Question, output: str) -> int | None:
        return super().parse_choice(question, re.sub("[^a-zA-Z0-9]", "", output))
