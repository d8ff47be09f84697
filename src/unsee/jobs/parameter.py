"""Parameters of a rule's jobs that depend on what a job's wildcards name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from unsee.jobs.runs import Run


class PerTask(NamedTuple):
    """A parameter that depends on the task that a job's wildcards name."""

    of: Callable[[str], Any]


class PerTrial(NamedTuple):
    """A parameter that depends on the run and on the trial of its settings that a job's wildcards name."""

    of: Callable[[Run, str], Any]


class PerAttack(NamedTuple):
    """A parameter that depends on the attack that a job's wildcards name."""

    of: Callable[[str], Any]


#: A parameter: its value, a function of the run that a job's wildcards name, one of the task, of the trial or of the attack.
Parameter = Any | Callable[[Run], Any] | PerTask | PerTrial | PerAttack
Wildcards = Mapping[str, str]


def value_for(parameter: Parameter, wildcards: Wildcards) -> Any:
    """The value of a parameter for the job of these wildcards."""
    if isinstance(parameter, PerTask):
        return parameter.of(wildcards["task"])
    if isinstance(parameter, PerTrial):
        return parameter.of(Run.of(wildcards), wildcards["trial"])
    if isinstance(parameter, PerAttack):
        return parameter.of(wildcards["attack"])
    return parameter(Run.of(wildcards)) if callable(parameter) else parameter
