"""What a method is: a name, what it needs, and a loss. No torch here, planning reads this too.

A method is one file beside this one with one decorated function::

    @method("npo", Needs(reference="retain"))
    def npo(forget: Scores, reference: Scores, *, beta: float = 0.4) -> Tensor: ...

Its keyword-only parameters are its options: ``methods.npo.beta`` in the configuration. Name, needs and defaults are
written as literals, so that :mod:`unsee.unlearning.catalogue` can read them without running the file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Loss = TypeVar("Loss", bound=Callable[..., Any])


@dataclass(frozen=True)
class Needs:
    """What the training loop has to bring along; nothing is loaded that a method does not need.

    Attributes:
        retain: a batch of pairs of the people to be kept, beside each batch of those to be forgotten.
        reference: another model's scores of the same batch: ``vanilla``, or the ``retain``-only model.
        logits: log-probabilities over the whole vocabulary where an answer of the retain batch is predicted.
    """

    retain: bool = False
    reference: Literal["none", "vanilla", "retain"] = "none"
    logits: bool = False


@dataclass(frozen=True)
class Method:
    """A method as registered: ``loss`` is the decorated function, ``options`` its keyword-only parameters."""

    name: str
    needs: Needs
    loss: Callable[..., Any]
    options: tuple[str, ...]


#: The methods whose files have been imported; :func:`unsee.unlearning.catalogue.load` imports one.
REGISTRY: dict[str, Method] = {}


def method(name: str, needs: Needs | None = None) -> Callable[[Loss], Loss]:
    """Register the decorated loss under ``name``.

    Raises:
        ValueError: another function has that name already.
    """

    def register(loss: Loss) -> Loss:
        known = REGISTRY.get(name)
        if known is not None and known.loss.__module__ != loss.__module__:
            raise ValueError(f"two methods are called {name!r}: {known.loss.__module__} and {loss.__module__}")
        parameters = inspect.signature(loss).parameters.values()
        options = tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
        REGISTRY[name] = Method(name, needs or Needs(), loss, options)
        return loss

    return register
