"""The words around a question, by task: those of MLLMU-Bench's evaluation, without its examples.

The strings affect every score: after a change, increase the version of the protocol in :mod:`unsee.evaluation.protocols.unsee`.
"""

from __future__ import annotations

from collections.abc import Sequence

LETTERS = "ABCDEFGH"


def classification(question: str, options: Sequence[str], scoring: str) -> str:
    """The question alone if options are scored by likelihood; with lettered options if the model answers with a letter."""
    if scoring != "letter":
        return question
    lines = [question, *(f"{letter}: {option}" for letter, option in zip(LETTERS, options, strict=False))]
    return "\n".join([*lines, "Just give ONE letter representing the answer directly."])


def cloze(question: str) -> str:
    """The sentence with its blank marked, and the instruction to fill it."""
    blank = question.replace("__", "[Blank]")
    return f"{blank}\nPlease **ONLY** provide the correct answer that should replace the [Blank]."


def generation(question: str) -> str:
    """The question, and the instruction to answer in one sentence: the published wording for picture questions, also used for text."""
    return f"{question}\nAnswer the question based on your trained knowledge in one sentence accurately in ENGLISH."


def render(task: str, question: str, options: Sequence[str] = (), scoring: str = "likelihood") -> str:
    """The user's turn for a question of a task."""
    if task == "classification":
        return classification(question, options, scoring)
    if task == "likelihood":
        return question
    return cloze(question) if task == "cloze" else generation(question)
