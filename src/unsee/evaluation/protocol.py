"""The interface of a protocol: which questions are asked, in which words, and how answers are read. Torch is not imported.

A question is a row of the questions table. A protocol may replace its picture, and add ``examples``: questions that the prompt shows
with their answers. A question may have an ``answer_prefix``: words with which its answer begins, and which the model continues.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # planning reads protocols and needs no tables
    import pandas as pd

Question = dict[str, Any]


class ChatModel(typing.Protocol):
    """The part of a model that a protocol needs to write a prompt."""

    @property
    def written_turns(self) -> bool:
        """Whether published evaluations write its turns by hand, ``USER: ... ASSISTANT:``, instead of by the chat template."""
        ...

    def prompt(self, question: str, *, with_image: bool, answer_prefix: str = "") -> str:
        """One user turn in the chat template, and the first words of the answer."""
        ...

    def raw(self, text: str) -> str:
        """A complete prompt, without the chat template."""
        ...


class Protocol(typing.Protocol):
    """How an evaluation asks questions and reads answers. Scoring is in :mod:`unsee.evaluation.scoring`."""

    name: str
    #: Increased whenever the words of a prompt or the reading of an answer change: scores of two versions are not comparable.
    version: int
    #: The metrics of each kind of question.
    metrics: Mapping[str, tuple[str, ...]]
    #: The most tokens of a written answer.
    max_new_tokens: int

    def prepare(
        self, questions: Sequence[Question], splits: pd.DataFrame, image_ids: Sequence[str], percents: Sequence[int]
    ) -> list[Question]:
        """The questions to ask, with their pictures and examples.

        Args:
            questions: the questions for a run at these ratios.
            splits: the splits table.
            image_ids: the ids of all pictures.
            percents: the run's ratios.

        Raises:
            ValueError: the protocol cannot ask at these ratios.
        """
        ...

    def excluded(self, questions: pd.DataFrame, splits: pd.DataFrame, percent: int) -> set[str]:
        """The ids of the questions of a ratio's sets that are not asked."""
        ...

    def prompt(self, question: Question, chat_model: ChatModel) -> str:
        """The whole prompt, with a placeholder for each of :func:`prompt_images`."""
        ...

    def candidates(self, question: Question) -> list[str | None]:
        """The answers whose likelihood is computed, or ``[None]`` if the model writes an answer."""
        ...

    def per_token(self, task: str) -> bool:
        """Whether options are compared by the mean of their tokens' log-probabilities, or by the sum."""
        ...

    def extract_answer(self, text: str) -> str:
        """The answer in the text that the model wrote."""
        ...

    def parse_choice(self, question: Question, output: str) -> int | None:
        """The option that a written answer names, -1 for none; ``None`` if the question has no options."""
        ...


def prompt_images(question: Question) -> list[str]:
    """The pictures of a question's prompt, in order: those of its examples, then that of the question."""
    image_ids = [*(example["image_id"] for example in question.get("examples", ())), question["image_id"]]
    return [image_id for image_id in image_ids if image_id is not None]
