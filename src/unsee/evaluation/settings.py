"""The settings of the protocols: which task each one belongs to, and whether it changes answers or scores. Imports nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: The tasks that can be asked, scored and rerun alone, in the order in which they are asked.
TASKS = ("classification", "cloze", "generation")

Stage = Literal["answers", "scores"]


@dataclass(frozen=True)
class Setting:
    """A key of the configuration's section ``evaluation``.

    Attributes:
        key: its name.
        protocols: those that read it.
        tasks: those that it concerns.
        stages: what it changes: the answers, or how they are scored.
    """

    key: str
    protocols: tuple[str, ...]
    tasks: tuple[str, ...]
    stages: tuple[Stage, ...]


PROTOCOLS = ("unsee", "mllmu-official", "mmunlearner")
_WITH_EXAMPLES = ("classification", "cloze")

#: Besides these, ``protocol`` changes everything and ``batch_size`` nothing.
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
        task: only those that concern this task.
        stage: only those that change answers, or only those that change scores.
    """
    return tuple(
        setting.key
        for setting in _SETTINGS
        if protocol in setting.protocols
        and (task is None or task in setting.tasks)
        and (stage is None or stage in setting.stages)
    )


def task_of(kind: str) -> str:
    """The task that a question of the benchmark is asked and scored with.

    A ``likelihood`` question has no task of its own: it measures how likely a model finds the answer to an open question among wrong ones
    (TOFU's truth ratio), and belongs to generation.
    """
    return "generation" if kind == "likelihood" else kind
