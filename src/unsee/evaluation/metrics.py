"""The metrics of an answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A number that an answer is scored by.

    Attributes:
        name: the value of the column ``metric``.
        task: the value of the column ``task``: the kind of question that the metric scores.
        unit: the unit of its mean over questions; ``%`` if single values are 0 or 1, empty for a number from 0 to 1.
        higher_is_better: whether a model that knows the answers has high values; for facts to be forgotten, low values are the goal.
    """

    name: str
    task: str
    unit: str
    higher_is_better: bool


METRICS = (
    Metric("accuracy", "classification", "%", True),
    Metric("probability", "classification", "", True),
    Metric("truth_ratio", "classification", "", False),
    Metric("rouge_l", "generation", "", True),
    Metric("rouge_1", "generation", "", True),
    Metric("rouge_2", "generation", "", True),
    Metric("bleu", "generation", "", True),
    Metric("accuracy", "cloze", "%", True),
    Metric("probability", "likelihood", "", True),
    Metric("truth_ratio", "likelihood", "", False),
)

#: The (task, metric) pairs that the utility of a model is computed from, as in TOFU's model utility. ``truth`` is max(0, 1 - R), R the
#: truth ratio.
UTILITY = (("classification", "probability"), ("classification", "truth"), ("generation", "rouge_l"))


def names(task: str) -> tuple[str, ...]:
    """The names of a task's metrics, in order."""
    return tuple(metric.name for metric in METRICS if metric.task == task)
