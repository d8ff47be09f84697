"""What an unlearning method is: what it needs, and a loss.

A method is one file in this folder with one decorated function::

    @method("npo", Needs(reference="retain"))
    def npo(forget: Scores, reference: Scores, *, beta: float = 0.4) -> Tensor: ...

Its positional parameters, by name, are what the loop hands it: ``forget`` (scores of the forget examples), ``retain`` (of as many
retain examples, with ``Needs(retain=True)``) and ``reference`` (what the reference model says of the forget examples, or
of the retain examples where ``Needs(reference_on="retain")``). Its keyword-only parameters are its options in config.yaml. The file is read
without being imported when the workflow is planned (``unlearning/catalogue.py``): write names, needs and
defaults as literals.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Needs:
    """What must be there for a method; nothing else is loaded or computed.

    Attributes:
        retain: retain examples, as many a step as forget examples.
        reference: a second opinion: of ``vanilla`` (the adapter switched off) or of the ``retain``-only model, whose
            log-probabilities are computed once, before training.
        reference_on: on which examples.
        vocabulary: log-probabilities of the whole vocabulary on the retain examples.
    """

    retain: bool = False
    reference: Literal["none", "vanilla", "retain"] = "none"
    reference_on: Literal["forget", "retain"] = "forget"
    vocabulary: bool = False


@dataclass(frozen=True)
class Method:
    """A registered method."""

    name: str
    needs: Needs
    loss: Callable[..., Tensor]
    inputs: tuple[str, ...]


REGISTRY: dict[str, Method] = {}


def method(name: str, needs: Needs | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated loss under a name.

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
        importlib.import_module(f"unsee.unlearning.{name}")
        return REGISTRY[name]
    except (ModuleNotFoundError, KeyError) as error:
        raise ValueError(f"no unlearning method {name!r}: expected a file unlearning/{name}.py that registers it") from error
