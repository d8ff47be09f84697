"""The words around a question, by task: what MLLMU-Bench's evaluation asks, without its demonstrations.

The strings are part of every score: change one, and raise the version of the protocol in :mod:`unsee.evaluation.protocols.unsee`.
"""

from __future__ import annotations

from collections.abc import Sequence

LETTERS = "ABCDEFGH"


def classification(question: str, options: Sequence[str], scoring: str) -> str:
    """The question alone when options are scored by likelihood; with lettered options when a letter is asked for."""
    if scoring != "letter":
        return question
    lines = [question, *(f"{letter}: {option}" for letter, option in zip(LETTERS, options, strict=False))]
    return "\n".join([*lines, "Just give ONE letter representing the answer directly."])


def cloze(question: str) -> str:
    """The sentence with its blank marked, and what to put there."""
    blank = question.replace("__", "[Blank]")
    return f"{blank}\nPlease **ONLY** provide the correct answer that should replace the [Blank]."


def generation(question: str) -> str:
    """The question, to be answered in one sentence (the published wording of the picture questions, for both)."""
    return f"{question}\nAnswer the question based on your trained knowledge in one sentence accurately in ENGLISH."


def render(task: str, question: str, options: Sequence[str] = (), scoring: str = "likelihood") -> str:
    """The user's turn for a question of that task."""
    if task == "classification":
        return classification(question, options, scoring)
    if task == "likelihood":
        return question
    return cloze(question) if task == "cloze" else generation(question)
