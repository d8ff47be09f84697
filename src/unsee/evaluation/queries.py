"""What a model is asked, without the protocol that asks it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    """One question to a model.

    Attributes:
        question_id: its id.
        task: the task that it is asked with.
        prompt: the whole prompt, with a placeholder for each picture.
        candidates: the answers whose likelihood is computed, or ``(None,)`` where the model writes one.
        image_ids: the pictures of the prompt, in order.
    """

    question_id: str
    task: str
    prompt: str
    candidates: tuple[str | None, ...]
    image_ids: tuple[str, ...]
