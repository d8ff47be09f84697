"""MLLMU-Bench's evaluation (its eval.py), for LLaVA: examples of one person for multiple choice, of two for cloze."""

from __future__ import annotations

from unsee.evaluation.protocol import ChatModel, Question
from unsee.evaluation.protocols import published

_EXAMPLE_PEOPLE = {"classification": 1, "cloze": 2}


class MllmuOfficial(published.Published):
    """See :class:`unsee.evaluation.protocol.Protocol`."""

    name = "mllmu-official"
    version = 1

    def example_people(self, task: str) -> int:
        return _EXAMPLE_PEOPLE.get(task, 0)

    def prompt(self, question: Question, chat_model: ChatModel) -> str:
        if not chat_model.written_turns:
            raise ValueError(
                "MLLMU-Bench's own evaluation has no prompts for this model's family; expected llava (model.family), or "
                "evaluation.protocol to be unsee or mmunlearner"
            )
        return chat_model.raw(published.manual_prompt(question))

    def extract_answer(self, text: str) -> str:
        # The published code splits prompt and output at "ASSISTANT:" and takes the second part, so further turns are cut off.
        return text.split("ASSISTANT:")[0].strip()
