"""Our protocol: all questions, no examples, options scored by likelihood, and the same picture for all tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from unsee.evaluation import prompts
from unsee.evaluation.metrics import names as metric_names
from unsee.evaluation.protocol import ChatModel, Question


class Unsee:
    """See :class:`unsee.evaluation.protocol.Protocol`.

    Args:
        classification: how options are scored: ``likelihood`` (mean over the tokens of their text), ``likelihood_sum`` (sum over the
            tokens), or the likelihood of their ``letter``.
        max_new_tokens: the most tokens of a written answer.
    """

    name = "unsee"
    version = 2
    metrics: Mapping[str, tuple[str, ...]] = {
        kind: metric_names(kind) for kind in ("classification", "generation", "cloze", "likelihood")
    }

    def __init__(self, *, classification: str = "likelihood", max_new_tokens: int = 24) -> None:
        self.max_new_tokens = max_new_tokens
        self._classification = classification

    def prepare(
        self, questions: Sequence[Question], splits: pd.DataFrame, image_ids: Sequence[str], percents: Sequence[int]
    ) -> list[Question]:
        return list(questions)

    def excluded(self, questions: pd.DataFrame, splits: pd.DataFrame, percent: int) -> set[str]:
        return set()

    def prompt(self, question: Question, chat_model: ChatModel) -> str:
        words = prompts.render(question["task"], question["question"], question["options"], self._classification)
        with_image, prefix = question["image_id"] is not None, question.get("answer_prefix", "")
        return chat_model.prompt(words, with_image=with_image, answer_prefix=prefix)

    def candidates(self, question: Question) -> list[str | None]:
        if question["task"] == "classification" and self._classification == "letter":
            return list(prompts.LETTERS[: len(question["options"])])
        return list(question["options"]) or [None]

    def per_token(self, task: str) -> bool:
        # The truth ratio of the task likelihood is TOFU's, by token.
        return task == "likelihood" or self._classification != "likelihood_sum"

    def extract_answer(self, text: str) -> str:
        return text.strip()

    def parse_choice(self, question: Question, output: str) -> int | None:
        return None
