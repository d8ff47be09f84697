"""Our protocol: every question asked, without examples; options by their likelihood; one picture for all tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from unsee.evaluation import classification, cloze, generation, prompts
from unsee.evaluation.protocols import ChatModel, Question


class Unsee:
    """See :class:`unsee.evaluation.protocols.Protocol`.

    Args:
        classification: ``likelihood`` a token of each option's text, ``likelihood_sum`` of the whole text, or likelihood
            of its ``letter``.
        max_new_tokens: length of a written answer.
        cloze_rule: see :func:`unsee.evaluation.cloze.matches`.
        rouge_stemmer: see :func:`unsee.evaluation.generation.overlap`.
    """

    name = "unsee"
    version = 2
    metrics: Mapping[str, tuple[str, ...]] = {
        "classification": classification.METRICS,
        "generation": generation.METRICS,
        "cloze": ("accuracy",),
        "likelihood": classification.METRICS[1:],
    }
    pack_by: tuple[str, ...] = ("origin", "person_id")
    partial_tasks: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        classification: str = "likelihood",
        max_new_tokens: int = 24,
        cloze_rule: str = "exact",
        rouge_stemmer: bool = True,
    ) -> None:
        self.max_new_tokens = max_new_tokens
        self._scoring, self._cloze_rule, self._rouge_stemmer = classification, cloze_rule, rouge_stemmer

    def prepare(
        self, questions: Sequence[Question], splits: pd.DataFrame, image_ids: Sequence[str], percents: Sequence[int]
    ) -> list[Question]:
        return list(questions)

    def excluded(self, questions: pd.DataFrame, splits: pd.DataFrame, percent: int) -> set[str]:
        return set()

    def prompt(self, question: Question, chat_model: ChatModel) -> str:
        words = prompts.render(question["task"], question["question"], question["options"], self._scoring)
        return chat_model.prompt(words, with_image=question["image_id"] is not None)

    def candidates(self, question: Question) -> list[str | None]:
        if question["task"] == "classification" and self._scoring == "letter":
            return list(prompts.LETTERS[: len(question["options"])])
        return list(question["options"]) or [None]

    def per_token(self, task: str) -> bool:
        # The truth ratio of the task likelihood is TOFU's, by token.
        return task == "likelihood" or self._scoring != "likelihood_sum"

    def extract_answer(self, text: str) -> str:
        return text.strip()

    def parse_choice(self, question: Question, output: str) -> int | None:
        return None

    def score(self, answer: Mapping[str, Any]) -> Sequence[float]:
        if answer["task"] == "cloze":
            return [float(cloze.matches(answer["output"], answer["reference"], self._cloze_rule))]
        if answer["task"] == "generation":
            scores = generation.overlap(answer["output"], answer["reference"], stemmer=self._rouge_stemmer)
            return list(scores.values())
        sure = classification.certainty(
            answer["option_log_likelihoods"],
            answer["option_tokens"],
            answer["answer_index"],
            per_token=self.per_token(answer["task"]),
        )
        return [float(answer["correct"]), *sure] if answer["task"] == "classification" else sure
