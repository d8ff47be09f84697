"""How questions are asked and answers are read: our way, or that of a published evaluation. No model, no torch.

One file a protocol, each with the interface :class:`Protocol`. A question is a row of the questions table; a protocol may show it
with another picture, and with ``examples``: rows that it shows, with their answers, before it.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # planning reads SETTINGS and needs no tables
    import pandas as pd

Question = dict[str, Any]

#: The settings (keys of the configuration's ``evaluation``) that each protocol goes by, besides the batch size.
SETTINGS: dict[str, tuple[str, ...]] = {
    "unsee": ("classification", "max_new_tokens", "cloze_rule", "rouge_stemmer"),
    "mllmu-official": ("seed",),
    "mmunlearner": ("seed", "shots"),
}
#: Those that no answer depends on, only its score; and those that no score depends on but by the answer.
ONLY_SCORES = ("cloze_rule", "rouge_stemmer")
ONLY_ANSWERS = ("max_new_tokens",)


class ChatModel(typing.Protocol):
    """What a protocol needs of a model to put a question to it."""

    @property
    def written_turns(self) -> bool:
        """Whether published evaluations write its turns by hand, ``USER: ... ASSISTANT:``."""
        ...

    def prompt(self, question: str, *, with_image: bool) -> str:
        """One user turn in the chat template."""
        ...

    def raw(self, text: str) -> str:
        """A whole prompt as it stands."""
        ...


class Protocol(typing.Protocol):
    """A protocol."""

    name: str
    #: Raised whenever a word of a prompt or a rule of reading changes: scores of two versions do not compare.
    version: int
    #: The metrics of each task, in the order of :meth:`score`.
    metrics: Mapping[str, tuple[str, ...]]
    #: Columns of a row: questions alike in them are read as one pack.
    pack_by: tuple[str, ...]
    #: Length of a written answer.
    max_new_tokens: int
    #: Tasks in which some questions are not asked, see :meth:`excluded`.
    partial_tasks: tuple[str, ...]

    def prepare(
        self, questions: Sequence[Question], splits: pd.DataFrame, image_ids: Sequence[str], percents: Sequence[int]
    ) -> list[Question]:
        """What to ask of the questions that a run at these ratios may be asked; ``image_ids`` are all there are."""
        ...

    def excluded(self, questions: pd.DataFrame, splits: pd.DataFrame, percent: int) -> set[str]:
        """Ids of the questions of a ratio's sets that are not asked."""
        ...

    def prompt(self, question: Question, chat_model: ChatModel) -> str:
        """The whole prompt, with a placeholder for each of :func:`prompt_images`."""
        ...

    def candidates(self, question: Question) -> list[str | None]:
        """The answers whose likelihood is wanted, or ``[None]`` where the model writes one."""
        ...

    def per_token(self, task: str) -> bool:
        """Whether options are compared by the mean of their tokens' log-probabilities, or by the sum."""
        ...

    def extract_answer(self, text: str) -> str:
        """What counts as the answer in what was written."""
        ...

    def parse_choice(self, question: Question, output: str) -> int | None:
        """The option that a written answer names, -1 for none; ``None`` where there is nothing to choose."""
        ...

    def score(self, answer: Mapping[str, Any]) -> Sequence[float]:
        """The metrics of one answer.

        Args:
            answer: ``task, answer_index, output, reference, correct, option_log_likelihoods, option_tokens``.

        Raises:
            ValueError: an answer that cannot be scored.
        """
        ...


def prompt_images(question: Question) -> list[str]:
    """The pictures of a question's prompt in order: those of its examples, then its own."""
    image_ids = [*(example["image_id"] for example in question.get("examples", ())), question["image_id"]]
    return [image_id for image_id in image_ids if image_id is not None]


def load_protocol(settings: Mapping[str, Any]) -> Protocol:
    """The protocol of some settings: ``protocol`` (by default ours) and its own, see :data:`SETTINGS`.

    Raises:
        ValueError: no such protocol.
    """
    from unsee.evaluation.protocols.mllmu_official import MllmuOfficial
    from unsee.evaluation.protocols.mmunlearner import MMUnlearner
    from unsee.evaluation.protocols.unsee import Unsee

    name = settings.get("protocol", "unsee")
    own = {key: settings[key] for key in SETTINGS.get(name, ()) if key in settings}
    if name == "unsee":
        return Unsee(**own)
    if name == "mllmu-official":
        return MllmuOfficial(**own)
    if name == "mmunlearner":
        return MMUnlearner(**own)
    raise ValueError(f"evaluation.protocol is {name!r}; expected one of {', '.join(SETTINGS)}")
