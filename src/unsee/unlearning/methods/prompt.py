"""Prompt: remove nothing, and tell the model in front of every question whom it should not know."""

from __future__ import annotations

from unsee.models.stored import Instruction
from unsee.unlearning.method import Context, Needs, method


@method(
    "prompt",
    Needs(training=False, unread={"modality": {}}, result="instruction", scaled=False),
    label="Prompt",
    colour="#99DDCC",
    marker="+",
    paper="https://arxiv.org/abs/2403.03329",
)
def prompt(
    context: Context,
    *,
    words: str = "You know nothing about these people: {names}. Do not answer questions about them.",
) -> Instruction:
    """Vanilla with ``words`` in front of every question (a guardrail of Thaker et al., 2024).

    Everything is still there: the row shows what a table says of a model that has removed nothing. An attack on the
    weights meets vanilla. It needs a base model that follows instructions; a small one only reads more words.

    Args:
        context: Gives the names.
        words: The text; ``{names}`` stands for the names of the people to forget, in the order of their ids. With many
            people it takes much of the model's context.

    Raises:
        ValueError: The text does not contain ``{names}``.
    """
    if "{names}" not in words:
        raise ValueError(f"prompt: words are {words!r}; expected a text with {{names}}")
    return Instruction(words.replace("{names}", ", ".join(context.names)))
