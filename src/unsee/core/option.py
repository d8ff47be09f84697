"""The values that a setting takes, read from its annotation: a key of config.yaml or an option of a method.

A number's range is part of the annotation: ``Annotated[float, "> 0"]``, ``Annotated[int | None, ">= 1, <= 99"]``.
A ``list`` may be empty, an option that is a ``Sequence`` may not.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import MISSING, dataclass, field
from functools import cached_property
from typing import Any

import jsonschema

#: The default of an option that has none: the configuration must set it.
REQUIRED: Any = object()

Schema = dict[str, Any]

_TYPES = {
    "float": ("number", "a number"),
    "int": ("integer", "a whole number"),
    "bool": ("boolean", "true or false"),
    "str": ("string", "a text"),
    "None": ("null", "null"),
}
_LIMITS = {">": "exclusiveMinimum", ">=": "minimum", "<": "exclusiveMaximum", "<=": "maximum"}


def _is_integer(_: object, value: object) -> bool:
    # JSON Schema takes 5.0 for an integer, but it makes another result path than 5.
    return type(value) is int


def _is_number(_: object, value: object) -> bool:
    # Comparisons let NaN pass.
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))


#: JSON Schema with stricter numbers: an integer has no decimal point, and a number is finite.
Validator: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)


@dataclass(frozen=True)
class Option:
    """An annotation as written in the source, and a default.

    Raises:
        ValueError: the range is not a list of comparisons with numbers, or the default is outside of it.
    """

    annotation: str
    default: Any = REQUIRED

    def __post_init__(self) -> None:
        if self.default is not REQUIRED and not self.accepts(self.default):
            raise ValueError(f"the default {self.default!r} is not {self.expected}")

    @property
    def expected(self) -> str:
        """The values it takes, in words."""
        return self._read[1]

    @property
    def schema(self) -> Schema:
        """The values it takes, as a JSON schema; a type that is not known here takes anything."""
        return self._read[0]

    def accepts(self, value: Any) -> bool:
        """Whether a value from the configuration fits the annotation."""
        return bool(Validator(self.schema).is_valid(value))

    @cached_property
    def _read(self) -> tuple[Schema, str]:
        node = ast.parse(self.annotation or "Any", mode="eval").body
        limits: list[tuple[str, float]] = []
        if isinstance(node, ast.Subscript) and _name(node.value) == "Annotated":
            node, text = node.slice.elts  # type: ignore[attr-defined]
            limits = _limits(str(ast.literal_eval(text)))
        return _parse(node, limits) or ({}, f"a value of type {self.annotation}")


def _name(node: ast.expr) -> str:
    return ast.unparse(node).split(".")[-1]


def _parse(node: ast.expr, limits: list[tuple[str, float]]) -> tuple[Schema, str] | None:
    """The JSON schema of a type and its values in words; ``None`` for a type that is not known here."""
    if isinstance(node, ast.BinOp):
        left, right = _parse(node.left, limits), _parse(node.right, limits)
        return left and right and (_union(left[0], right[0]), f"{left[1]} or {right[1]}")
    if isinstance(node, ast.Subscript) and _name(node.value) == "Literal":
        choices = ast.literal_eval(node.slice)
        choices = list(choices) if isinstance(choices, tuple) else [choices]
        *first, last = map(str, choices)
        whole = {"type": "integer"} if {type(choice) for choice in choices} == {int} else {}
        return {**whole, "enum": choices}, f"one of {', '.join(first)} or {last}" if first else last
    is_list = isinstance(node, ast.Subscript) and _name(node.value) in ("list", "Sequence")
    if is_list and (item := _parse(node.slice, limits)):  # type: ignore[attr-defined]
        of = item[1].removeprefix("a ").replace("number", "numbers", 1).replace("text", "texts", 1)
        items = {**item[0], "errorMessage": f"expected {item[1]}"}
        schema = {"type": "array", "uniqueItems": True, "items": items}
        if _name(node.value) == "Sequence":  # type: ignore[attr-defined]
            return {**schema, "minItems": 1}, f"a list of different {of}, at least one"
        return schema, f"a list of different {of}"
    if (name := ast.unparse(node)) not in _TYPES:
        return None
    kind, words = _TYPES[name]
    if name not in ("int", "float"):
        return {"type": kind}, words
    return {"type": kind, **{_LIMITS[sign]: limit for sign, limit in limits}}, words + _range(limits)


def _union(left: Schema, right: Schema) -> Schema:
    """The schema of a type that may also be another: null, as a rule."""
    if "enum" in left:
        return {"enum": [*left["enum"], None]}
    types = left["type"] if isinstance(left["type"], list) else [left["type"]]
    return {**left, **right, "type": [*types, right["type"]]}


def _limits(text: str) -> list[tuple[str, float]]:
    """A range as comparisons with numbers."""
    limits = []
    for part in filter(None, text.split(",")):
        if not (match := re.fullmatch(r" *(>=|>|<=|<) *(-?[\d.]+(?:e-?\d+)?) *", part)):
            raise ValueError(f"the range {text!r} is not like '> 0' or '>= 0, <= 1'")
        limits.append((match[1], ast.literal_eval(match[2])))
    return limits


def _range(limits: list[tuple[str, float]]) -> str:
    """A range in words, after a blank: `` above 0``, `` from 0 to 1``, `` above 0 and at most 1``."""
    closed = [sign for sign, _ in limits][:1] == [">="]
    words = {">": "above", ">=": "from", "<": "to below" if closed else "below", "<=": "to" if closed else "at most"}
    parts = [f"{words[sign]} {limit:g}" for sign, limit in limits]
    return " " + (" " if closed else " and ").join(parts) if parts else ""


def key(default: Any = MISSING, comment: str = "", *, expected: str = "", **schema: Any) -> Any:
    """Declare a key of config.yaml: a field of the dataclass of its section.

    Args:
        default: its value in config.yaml.
        comment: one short phrase, which stands behind the value there.
        expected: the values it takes in words, where the annotation does not say enough.
        schema: more of its JSON schema, such as ``pattern`` or ``minItems``.
    """
    metadata = {"comment": comment, "expected": expected, "schema": schema}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)
