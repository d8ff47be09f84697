"""An attack: a change of a model, its pictures or its questions that may bring back what was forgotten.

An attack is one file in the folder ``methods`` with one decorated function. The name of its first parameter says what it
changes:

``picture``
    A picture into a picture::

        @attack("blur", label="blur")
        def blur(picture: Image, *, radius: Annotated[float, "> 0"] = 2.0) -> Image: ...

``question``
    A question into one or several others, each of which is answered::

        @attack("prefix", label="answer prefix")
        def prefix(question: Question, *, words: str = "Sure, the answer is") -> list[Question]: ...

``weights``
    The weights of a model in place; it yields at every state in which the model answers the questions::

        @attack("noise", label="noise")
        def noise(weights: Weights, *, share: Annotated[float, "> 0"] = 0.05) -> Iterator[State]: ...

A parameter ``random`` of an attack on pictures or questions receives a ``random.Random``, whose seed depends on the run's seed and on
the picture or the question, but not on the model: every model is attacked alike. A parameter ``people`` of an attack on questions
receives the benchmark's :class:`People`. An attack on questions may put another picture of the benchmark into a question, and options
into another order. Of a question that it does not concern it makes no questions, ``[]``, and then the question is not asked.

Keyword-only parameters are the attack's options in config.yaml, with a number's range in the annotation; a list of at least one
value is a ``Sequence``, whose default is a tuple. The workflow reads the file without importing it
(:mod:`unsee.attacks.catalogue`), so that everything in the decorator, and every default, must be a literal.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from unsee.evaluation.protocol import Question

if TYPE_CHECKING:
    from unsee.benchmarks.tables import Pair
    from unsee.models.model import VisionLanguageModel
    from unsee.models.pictures import Pictures

#: What an attack changes, which is the name of its first parameter.
Kind = Literal["weights", "picture", "question"]
#: What the benchmark or the model must have for an attack to mean anything; the plan refuses the attack without it
#: (:mod:`unsee.jobs.config_attacks`): options that the prompt shows, another picture of a person, a second wording of a question, a
#: vision tower or projector that was trained.
Need = Literal["options", "other_pictures", "other_wordings", "trained_projector"]


class State(NamedTuple):
    """A state of a model in which it is asked.

    Attributes:
        variant: what tells it from other states of the same attack, such as ``25 % of the pairs``.
        step: the steps of training that led to it; 0 without training.
        diverged: training has diverged on the way to it, so that there is no such model and nothing is asked.
    """

    variant: str = ""
    step: int = 0
    diverged: bool = False


@dataclass
class Weights:
    """What an attack on weights receives.

    Attributes:
        vlm: the model, merged: it has no adapter. The attack changes it in place, and may put adapters on it. It must be in
            evaluation mode whenever the attack yields.
        pictures: the pictures of the training pairs.
        forgotten: the training pairs of the people to forget.
        others: the training pairs of retained people.
        seed: the same for every model.
        base: loads the base model, without adapters, as a second model on the CPU.
        division: the keys of :class:`~unsee.training.settings.TrainingSettings` that divide a step of training to save memory.
    """

    vlm: VisionLanguageModel
    pictures: Pictures
    forgotten: Sequence[Pair]
    others: Sequence[Pair]
    seed: int
    base: Callable[[], VisionLanguageModel]
    division: Mapping[str, Any]


@dataclass(frozen=True)
class People:
    """What an attack on questions may know of the benchmark.

    Attributes:
        names: the name of each person, by person id.
        questions: the questions about each person, all sets and modalities, by person id.
        image_ids: the pictures of each person, by person id; those that no model was trained on come first.
        forgotten: the ids of the people to forget, about whom the model is asked.
    """

    names: Mapping[str, str]
    questions: Mapping[str, Sequence[Question]]
    image_ids: Mapping[str, Sequence[str]]
    forgotten: Set[str]


@dataclass(frozen=True)
class Attack:
    """A registered attack.

    Attributes:
        inputs: the names of its positional parameters.
        apply: the function.
    """

    name: str
    inputs: tuple[str, ...]
    apply: Callable[..., Any]

    @property
    def kind(self) -> Kind:
        """What it changes."""
        kind: Kind = self.inputs[0]  # type: ignore[assignment]
        return kind


REGISTRY: dict[str, Attack] = {}


def attack(
    name: str, *, label: str = "", needs: Sequence[Need] = (), paper: str = "", trains: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function.

    Args:
        name: the name of the attack, which is that of its file.
        label: its name in tables and figures; ``name`` by default.
        needs: what benchmark and model must have.
        paper: the address of the paper.
        trains: whether it trains the model, which takes more memory than asking it.

    Raises:
        ValueError: the name is taken.
    """
    del label, needs, paper, trains  # the catalogue reads them from the source

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        if name in REGISTRY:
            raise ValueError(f"attack {name!r} is registered twice: by {REGISTRY[name].apply} and {function}")
        parameters = inspect.signature(function).parameters.values()
        REGISTRY[name] = Attack(name, tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD), function)
        return function

    return register


def get(name: str) -> Attack:
    """Import the attack of that name from the file of that name.

    Raises:
        ValueError: there is no such file, or it does not register that name.
    """
    try:
        if name not in REGISTRY:
            importlib.import_module(f"unsee.attacks.methods.{name}")
        return REGISTRY[name]
    except (ModuleNotFoundError, KeyError) as error:
        raise ValueError(f"no attack {name!r}: expected a file attacks/methods/{name}.py that registers it") from error
