"""MLLMU-Bench's own evaluation (its eval.py), for LLaVA: one person's examples of multiple choice, two of cloze."""

from __future__ import annotations

from unsee.evaluation.protocols import Row, Speaker, published

_SHOWN = {"classification": 1, "cloze": 2}


class MllmuOfficial(published.Published):
    """See :class:`unsee.evaluation.protocols.Asking`."""

    name = "mllmu-official"
    version = 1

    def shown(self, task: str) -> int:
        return _SHOWN.get(task, 0)

    def prompt(self, row: Row, speaker: Speaker) -> str:
        if not speaker.written_turns:
            raise ValueError(
                "MLLMU-Bench's own evaluation has no prompts for this model's family; expected llava (model.family), or "
                "evaluation.protocol to be unsee or mmunlearner"
            )
        return speaker.raw(published.written(row))

    def output(self, text: str) -> str:
        # It splits the whole text at "ASSISTANT:" and takes the second part: a model that goes on with turns is cut.
        return text.split("ASSISTANT:")[0].strip()
