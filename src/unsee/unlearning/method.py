"""An unlearning method: a loss, and a declaration of the inputs it needs.

A method is one file in the folder ``methods`` with one decorated function::

    @method("npo", Needs(reference="retain_only"), label="NPO", colour="#0072B2", paper="https://arxiv.org/abs/2404.05868")
    def npo(forget: Scores, reference: Scores, *, beta: Annotated[float, "> 0"] = 0.4) -> Tensor: ...

The names of its positional parameters say what the loop passes: ``forget`` (scores of the forget examples), ``retain``
(scores of as many retain examples, with ``Needs(retain_examples=True)``) and ``reference`` (scores of the same forget
examples under a reference model, or of the retain examples with ``Needs(reference_on="retain")``).
With ``Needs(alternative=...)`` there are also ``alternative`` (scores of the forget examples with a refusal as the answer)
and ``reference_alternative`` (the same under vanilla).
Its keyword-only parameters are its options in config.yaml, with a number's range in the annotation.
The workflow reads the file without importing it (:mod:`unsee.unlearning.catalogue`), so that everything in the
decorator, and every default, must be a literal.

A step may be computed in parts (``gradient_accumulation``, several processes), and its gradient must not depend on the
parts. A loss therefore averages over examples with :meth:`~unsee.models.likelihood.Scores.average` or ``nll``, never
with ``mean()``.

A method that is more than a loss has two more functions in its file. ``prepare(context, *, options...)`` puts an
adapter on the model and returns a :class:`MethodState`, which the loss receives as ``state``. ``finish(context, state)`` turns
what was trained into the adapter that is saved.

A method that does not train has neither: with ``Needs(training=False)`` its one function receives the context and returns what
is stored::

    @method("kvw", Needs(training=False, result="gates", prepare="retain"))
    def kvw(context: Context, *, strength: Annotated[float, "> 0"] = 0.02) -> Gates: ...
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from torch import Tensor

    from unsee.models.model import VisionLanguageModel
    from unsee.models.packing import Batch
    from unsee.models.pictures import Pictures
    from unsee.training.batches import Step, Unit
    from unsee.training.progress import Counters
    from unsee.training.settings import TrainingSettings

#: The settings of ``unlearning`` that a method reads which does not train.
DATA_SETTINGS = ("modality",)


@dataclass(frozen=True)
class Needs:
    """The inputs of a method; nothing else is loaded or computed.

    Attributes:
        retain_examples: The loss also receives retain examples, as many per step as forget examples.
        retain_weight: The option that weighs the retain examples in the loss; they are not read where it is 0.
        reference: The model whose log-probabilities the loss also receives: ``vanilla`` (the same model with its adapter
            switched off) or ``retain_only`` (computed once, before training).
        reference_on: The examples on which the reference is evaluated.
        vocabulary: The examples whose scores hold the log-probabilities of the whole vocabulary, and the answer tokens;
            vanilla's scores of the same examples hold them too.
        alternative: Whether each forget example is read with a refusal as its answer, see
            :mod:`unsee.unlearning.refusals`: ``beside`` its true answer, or ``instead`` of it (``forget`` then has no examples).
        hidden: The option that names a layer, see :func:`block_number`. All scores then hold that layer's hidden states.
        prepare: ``retain`` gives ``prepare`` the retain examples although no step uses them.
        prepare_unless: Options, and their values, with which ``prepare`` is not given them.
        prepare_pictures: Options, and their values, with which ``prepare`` reads their pictures only.
        training: False: the decorated function is no loss. It is called once, with the :class:`Context` as its only positional
            parameter, and returns what is stored (:class:`unsee.models.stored.Result`). Of the settings of ``unlearning``
            only :data:`DATA_SETTINGS` are read.
        unread: Settings, such as ``lora.rank``, and options that the method does not read: each with the options, and their
            values, with which it does not, or with none if it never does.
        result: What a method that does not train returns; ``adapter`` is what training leaves.
        scaled: False: no model lies between vanilla and the result, so that the trade-off leaves the method out.
        whole_step: Options, and their values, with which the loss is not a mean over examples, so that a step must be
            computed in one part.
    """

    retain_examples: bool = False
    retain_weight: str = ""
    reference: Literal["none", "vanilla", "retain_only"] = "none"
    reference_on: Literal["forget", "retain"] = "forget"
    vocabulary: Literal["none", "forget", "retain", "both"] = "none"
    alternative: Literal["none", "beside", "instead"] = "none"
    hidden: str = ""
    prepare: Literal["none", "retain"] = "none"
    prepare_unless: Mapping[str, Any] = field(default_factory=dict)
    prepare_pictures: Mapping[str, Any] = field(default_factory=dict)
    training: bool = True
    unread: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    result: Literal["adapter", "gates", "instruction"] = "adapter"
    scaled: bool = True
    whole_step: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            if get_origin(hint) is Literal and (value := getattr(self, name)) not in get_args(hint):
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(get_args(hint))}")

    def with_options(self, options: Mapping[str, Any]) -> Needs:
        """The inputs at these values of the options: without retain examples where the options say that none is read."""
        unused = self.retain_weight and options.get(self.retain_weight) == 0
        needs = replace(self, retain_examples=False) if unused else self
        return replace(needs, prepare="none") if _has_one(options, self.prepare_unless) else needs

    def sees(self, options: Mapping[str, Any]) -> str:
        """What a run with these options reads besides vanilla, for the tables.

        Options that a search still has to find count as reading all that they could.

        Returns:
            ``forget`` (the people to forget, by their pairs or names), and behind it ``retained pictures`` or ``retained pairs``, and
            ``retain-only`` (the retain-only model), separated by commas.
        """
        needs, parts = self.with_options(options), ["forget"]
        if needs.retain_examples:
            parts.append("retained pairs")
        elif needs.prepare == "retain":
            parts.append("retained pictures" if _has_one(options, self.prepare_pictures) else "retained pairs")
        if needs.reference == "retain_only" and options.get("reference_model") != "vanilla":
            parts.append("retain-only")
        return ", ".join(parts)

    def unread_settings(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """The settings that change nothing beside the others.

        Args:
            settings: All settings of training and method at one ratio, by key.

        Returns:
            The reason of each, by key; the key of a setting in ``lora`` begins with ``lora.``.
        """
        reasons = {
            key: " and ".join(f"{option} is {shown(settings[option])}" for option in values)
            or "the method does not use it"
            for key, values in self.unread.items()
            if not values or _has_one(settings, values)
        }
        if not self.training:
            return reasons
        retained = self.with_options(settings).retain_examples
        if not retained:
            weight = self.retain_weight and f", since {self.retain_weight} is 0"
            reasons["alternation"] = f"no step has retained pairs{weight}"
        if settings.get("modality") == "text" and not retained:
            reasons["variants"] = "no pair with a picture is trained on, since modality is text"
        if settings.get("schedule") == "constant":
            reasons["warmup"] = "schedule is constant"
        return reasons

    def has_vocabulary(self, group: str) -> bool:
        """Whether the scores of a group hold the log-probabilities of the whole vocabulary."""
        return self.vocabulary in (group, "both")

    @property
    def data_settings(self) -> list[str]:
        """The settings of ``unlearning`` that a method reads which does not train."""
        return [key for key in DATA_SETTINGS if key not in self.unread]

    @property
    def groups(self) -> list[str]:
        """The groups of examples to be read."""
        return ["forget", "retain"] if self.retain_examples or self.prepare == "retain" else ["forget"]

    def refused_parts(self, settings: Mapping[str, Any]) -> tuple[str, str] | None:
        """Say why a step cannot be computed in as many parts as the settings ask for.

        Args:
            settings: The settings of training and method, by key.

        Returns:
            The option that needs the whole step, and the reason; ``None`` if there is none.
        """
        parts = {key: settings.get(key, 1) for key in ("gradient_accumulation", "num_processes")}
        for option, value in self.whole_step.items():
            if settings.get(option) == value and max(parts.values()) > 1:
                in_parts = " and ".join(f"{key} {n}" for key, n in parts.items() if n > 1)
                return option, (
                    f"is {value}, a loss of the whole step, and {in_parts} would compute it in parts; "
                    f"expected {' and '.join(parts)} 1, or another {option}"
                )
        return None


def shown(value: Any) -> str:
    """A value as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _has_one(options: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether one of the options has the value that is named for it."""
    return any(option in options and options[option] == value for option, value in values.items())


@dataclass
class Context:
    """What ``prepare`` and ``finish`` receive, and the function of a method that does not train.

    Attributes:
        vlm: The vanilla model.
        pictures: The pictures of all groups.
        groups: The units of ``forget``, and of ``retain`` if the method needs them.
        settings: The training settings.
        seed: The seed of the run.
        counters: Count the passes of ``prepare`` and ``finish`` here.
        output: The folder of the run.
        alternatives: By a forget unit's key, the unit with the same questions and pictures and alternative answers, if
            the method needs them.
        names: The names of the people to forget, in the order of their ids.
    """

    vlm: VisionLanguageModel
    pictures: Pictures
    groups: dict[str, list[Unit]]
    settings: TrainingSettings
    seed: int
    counters: Counters
    output: Path
    alternatives: Mapping[str, Unit] = field(default_factory=dict)
    names: Sequence[str] = ()


class MethodState(Protocol):
    """What a method keeps between ``prepare``, its loss and ``finish``. Inherit from it for the defaults."""

    def begin(self, batch: Batch, n_in_step: int) -> None:
        """Called before each forward pass.

        Args:
            batch: The examples of the pass, all of one group.
            n_in_step: The number of examples of that group in the whole step.
        """
        return None

    def restrict(self, step: Step) -> Sequence[Tensor] | None:
        """Say which weights a step may move.

        Returns:
            One boolean mask per trained weight, in the order of the model's parameters; ``None``: all may move.
        """
        return None


@dataclass(frozen=True)
class Method:
    """A registered method.

    Attributes:
        loss: The decorated function: a loss, or with ``Needs(training=False)`` the whole method.
        inputs: The names of its positional parameters.
    """

    name: str
    needs: Needs
    loss: Callable[..., Any]
    inputs: tuple[str, ...]
    prepare: Callable[..., MethodState] | None = None
    finish: Callable[[Context, Any], None] | None = None


REGISTRY: dict[str, Method] = {}


def method(
    name: str,
    needs: Needs | None = None,
    *,
    requires: str = "",
    label: str = "",
    colour: str = "",
    marker: str = "",
    paper: str = "",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated loss.

    Args:
        name: The name of the method, which is that of its file.
        needs: Its inputs; forget examples alone by default.
        requires: What must hold of its options together, such as ``"first or second"``; checked when the workflow is
            planned.
        label: Its name in tables and figures; ``name`` by default.
        colour: Its colour in figures, as ``#RRGGBB``; by default one that no other method has.
        marker: Its marker in figures, as matplotlib names it; by default one that no other method has.
        paper: The address of the paper.

    Raises:
        ValueError: The name is taken.
    """
    del requires, label, colour, marker, paper  # the catalogue reads them from the source

    def register(loss: Callable[..., Any]) -> Callable[..., Any]:
        if name in REGISTRY:
            raise ValueError(f"method {name!r} is registered twice: by {REGISTRY[name].loss} and {loss}")
        parameters = inspect.signature(loss).parameters.values()
        inputs = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        REGISTRY[name] = Method(name, needs or Needs(), loss, inputs)
        return loss

    return register


def block_number(layer: float, depth: int) -> int:
    """The block of the decoder that a layer option names, counted from 1.

    Args:
        layer: Below 1 it is a share of the depth, from 1 on the number of the block.
        depth: The number of blocks.

    Raises:
        ValueError: There is no such block.
    """
    if (problem := layer_problem(layer, depth)) is not None:
        raise ValueError(f"layer {problem}")
    return max(1, round(layer * depth)) if layer < 1 else int(layer)


def layer_problem(layer: float, depth: int | None) -> str | None:
    """Say why a layer option names no block; ``None`` if it names one. Arguments as for :func:`block_number`."""
    last = math.inf if depth is None else depth
    if 0 < layer < 1 or (1 <= layer <= last and layer == int(layer)):
        return None
    to = "" if depth is None else f" to {depth}"
    return f"is {layer:g}; expected a share of the depth, above 0 and below 1, or the number of a block, from 1{to}"


def get(name: str) -> Method:
    """Import the method of that name from the file of that name.

    Raises:
        ValueError: There is no such file, or it does not register that name.
    """
    try:
        module = importlib.import_module(f"unsee.unlearning.methods.{name}")
        registered = REGISTRY[name]
    except (ModuleNotFoundError, KeyError) as error:
        raise ValueError(
            f"no unlearning method {name!r}: expected a file unlearning/methods/{name}.py that registers it"
        ) from error
    return replace(registered, prepare=getattr(module, "prepare", None), finish=getattr(module, "finish", None))
