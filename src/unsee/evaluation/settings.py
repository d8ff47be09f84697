"""The settings of the protocols: their tasks, and whether they change answers or scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: The tasks in the order of their answers. Each can be answered, scored and rerun alone.
TASKS = ("classification", "cloze", "generation")

Stage = Literal["answers", "scores"]


@dataclass(frozen=True)
class Setting:
    """A key of the configuration's section ``evaluation``.

    Attributes:
        key: the name of the key.
        protocols: the protocols that read it.
        tasks: the tasks that it changes.
        stages: whether it changes the answers, their scores, or both.
    """

    key: str
    protocols: tuple[str, ...]
    tasks: tuple[str, ...]
    stages: tuple[Stage, ...]


PROTOCOLS = ("unsee", "mllmu-official", "mmunlearner")
_WITH_EXAMPLES = ("classification", "cloze")

#: In addition, ``protocol`` changes all results, and ``batch_size`` none.
_SETTINGS = (
    Setting("classification", ("unsee",), ("classification",), ("answers", "scores")),
    Setting("max_new_tokens", ("unsee",), ("cloze", "generation"), ("answers",)),
    Setting("cloze_rule", ("unsee",), ("cloze",), ("scores",)),
    Setting("rouge_stemmer", ("unsee",), ("generation",), ("scores",)),
    # The seed also draws the picture of a test question, in every task.
    Setting("seed", ("mllmu-official", "mmunlearner"), TASKS, ("answers",)),
    Setting("shots", ("mmunlearner",), _WITH_EXAMPLES, ("answers",)),
)


def settings_of(protocol: str, task: str | None = None, stage: Stage | None = None) -> tuple[str, ...]:
    """The keys of the configuration's ``evaluation`` that a protocol reads.

    Args:
        protocol: one of :data:`PROTOCOLS`.
        task: only keys that change this task.
        stage: only keys that change answers, or only keys that change scores.
    """
    return tuple(
        setting.key
        for setting in _SETTINGS
        if protocol in setting.protocols
        and (task is None or task in setting.tasks)
        and (stage is None or stage in setting.stages)
    )


def task_of(kind: str) -> str:
    """The task of a kind of question.

    ``likelihood`` questions belong to generation: they measure the likelihood of an open question's answer among wrong ones (TOFU's truth
    ratio).
    """
    return "generation" if kind == "likelihood" else kind
