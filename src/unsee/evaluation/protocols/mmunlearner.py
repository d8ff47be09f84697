"""MMUnlearner's evaluation (its MLLMU_eval.py): LLaVA as the benchmark's own, Qwen2-VL partly by its chat template."""

from __future__ import annotations

import re

from unsee.evaluation.protocols import Row, Speaker, published


class MMUnlearner(published.Published):
    """See :class:`unsee.evaluation.protocols.Asking`.

    Args:
        seed: of the draws.
        shots: people whose questions are examples of multiple choice and of cloze, 0 or 1.
    """

    name = "mmunlearner"
    version = 1

    def __init__(self, *, seed: int = 0, shots: int = 0) -> None:
        super().__init__(seed=seed)
        self._shots = shots

    def shown(self, task: str) -> int:
        return 0 if task == "generation" else self._shots

    def prompt(self, row: Row, speaker: Speaker) -> str:
        with_image, question = row["image_id"] is not None, row["question"]
        if speaker.written_turns:
            return speaker.raw(published.written(row))
        if row["task"] == "cloze":
            # Without a picture there is a placeholder all the same, which no picture fills, and there are no examples.
            before = f"{published.written_examples(row)}\n" if with_image else ""
            return speaker.prompt(f"{before}{published.blank(question)}", with_image=True)
        if not with_image:
            return speaker.raw(published.written(row))
        if row["task"] == "generation":
            return speaker.prompt(f"{question}\n{published.ACCURATELY}", with_image=True)
        words = f"{published.written_examples(row)}\n{question}\n{published.options(row)}\n{published.ONE_LETTER}"
        return speaker.prompt(words, with_image=True)

    def output(self, text: str) -> str:
        return text

    def choice(self, row: Row, output: str) -> int | None:
        return super().choice(row, re.sub("[^a-zA-Z0-9]", "", output))
