"""What an unlearning method is: what it needs, and a loss.

A method is one file in this folder with one decorated function::

    @method("npo", Needs(reference="retain_only"))
    def npo(forget: Scores, reference: Scores, *, beta: float = 0.4) -> Tensor: ...

Its positional parameters, by name, are what the loop hands it: ``forget`` (scores of the forget examples), ``retain`` (of as many
retain examples, with ``Needs(retain_examples=True)``) and ``reference`` (what the reference model says of the forget examples, or
of the retain examples where ``Needs(reference_on="retain")``). Its keyword-only parameters are its options in config.yaml. The file is read
without being imported when the workflow is planned (``unlearning/catalogue.py``): write names, needs and
defaults as literals.
A number's range stands in its annotation, as in ``beta: Annotated[float, "> 0"] = 0.4``.
What must hold of several options is an expression: ``@method("name", Needs(), requires="first or second")``.

A step may be computed in parts (``gradient_accumulation``, several processes), and no gradient may depend on the parts: a loss
averages over examples through :meth:`~unsee.models.likelihood.Scores.average` (or ``nll``), never through ``mean()``.

A method with more to it may have two more functions in its file: ``prepare(context, *, options...)`` puts its own adapter on the model
and returns a state that the loss takes as ``state``, and ``finish(context, state)`` turns what was trained into the adapter that is
saved. The state's ``begin(batch, n_in_step)`` is called before each forward pass, with the number of examples of that group in the whole
step; its ``restrict(step)``, if it has one, gives masks of the weights that a step may move.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from unsee.models.model import VisionLanguageModel
    from unsee.models.pictures import Pictures
    from unsee.training.batches import Unit
    from unsee.training.progress import Counters
    from unsee.training.settings import TrainingSettings


@dataclass(frozen=True)
class Needs:
    """What must be there for a method; nothing else is loaded or computed.

    Attributes:
        retain_examples: retain examples, as many a step as forget examples.
        reference: a second opinion: of ``vanilla`` (the adapter switched off) or of the ``retain``-only model, whose
            log-probabilities are computed once, before training.
        reference_on: on which examples.
        vocabulary: log-probabilities of the whole vocabulary on the retain examples.
        prepare: groups that the method's ``prepare`` looks at, but the loop does not step over: ``retain`` or ``none``.
        whole_step: options, and their values, with which the loss is not a mean over examples, so that a step must be computed
            in one part.
    """

    retain_examples: bool = False
    reference: Literal["none", "vanilla", "retain_only"] = "none"
    reference_on: Literal["forget", "retain"] = "forget"
    vocabulary: bool = False
    prepare: Literal["none", "retain"] = "none"
    whole_step: Mapping[str, Any] = field(default_factory=dict)

    def refused_parts(self, settings: Mapping[str, Any]) -> tuple[str, str] | None:
        """The option for which a step cannot be computed in parts, as the settings ask, and why; ``None``: it can.

        Args:
            settings: of the training and of the method, by key.
        """
        parts = {key: settings.get(key, 1) for key in ("gradient_accumulation", "num_processes")}
        for option, value in self.whole_step.items():
            if settings.get(option) == value and max(parts.values()) > 1:
                asked = " and ".join(f"{key} {n}" for key, n in parts.items() if n > 1)
                return option, (
                    f"is {value}, a loss of the whole step, and {asked} would compute it in parts; "
                    f"expected {' and '.join(parts)} 1, or another {option}"
                )
        return None


@dataclass
class Context:
    """What ``prepare`` and ``finish`` work on.

    Attributes:
        vlm, pictures: the vanilla model, and the pictures of all groups.
        groups: the units of ``forget``, and of ``retain`` where they are needed.
        settings: of the training.
        seed: of the run.
        counters: to count passes in.
        output: the run's folder.
    """

    vlm: VisionLanguageModel
    pictures: Pictures
    groups: dict[str, list[Unit]]
    settings: TrainingSettings
    seed: int
    counters: Counters
    output: Path


@dataclass(frozen=True)
class Method:
    """A registered method."""

    name: str
    needs: Needs
    loss: Callable[..., Tensor]
    inputs: tuple[str, ...]
    prepare: Callable[..., Any] | None = None
    finish: Callable[[Context, Any], None] | None = None


REGISTRY: dict[str, Method] = {}


def method(
    name: str, needs: Needs | None = None, *, requires: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated loss under a name.

    Args:
        name: of the method and of its file.
        needs: what must be there for it.
        requires: what must hold of the options together, such as ``"first or second"``; checked when the workflow is planned.

    Raises:
        ValueError: the name is taken.
    """

    def register(loss: Callable[..., Any]) -> Callable[..., Any]:
        if name in REGISTRY:
            raise ValueError(f"method {name!r} is registered twice: by {REGISTRY[name].loss} and {loss}")
        parameters = inspect.signature(loss).parameters.values()
        inputs = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        REGISTRY[name] = Method(name, needs or Needs(), loss, inputs)
        return loss

    return register


def get(name: str) -> Method:
    """The method of that name, from the file of that name.

    Raises:
        ValueError: no such file, or it registers nothing of that name.
    """
    try:
        module = importlib.import_module(f"unsee.unlearning.{name}")
        found = REGISTRY[name]
    except (ModuleNotFoundError, KeyError) as error:
        raise ValueError(
            f"no unlearning method {name!r}: expected a file unlearning/{name}.py that registers it"
        ) from error
    return replace(found, prepare=getattr(module, "prepare", None), finish=getattr(module, "finish", None))
