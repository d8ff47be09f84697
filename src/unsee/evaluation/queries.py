"""Queries: questions as prompts, independent of the protocol."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    """One question to a model.

    Attributes:
        question_id: the id of the question.
        task: the task of the question.
        prompt: the whole prompt, with a placeholder for each picture.
        candidates: the answers whose likelihood is computed, or ``(None,)`` if the model writes an answer.
        image_ids: the pictures of the prompt, in order.
    """

    question_id: str
    task: str
    prompt: str
    candidates: tuple[str | None, ...]
    image_ids: tuple[str, ...]
