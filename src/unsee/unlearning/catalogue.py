"""The methods there are, read from their source files and never run: planning takes no model library."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsee.unlearning.method import REGISTRY, Method, Needs


class CatalogueError(ValueError):
    """A method's file does not say what it must; the message names file and line."""


#: The default of an option that has none: the configuration must give it.
REQUIRED: Any = object()

_NUMBERS = {"float": (float, int), "int": (int,), "bool": (bool,), "str": (str,)}
_WORDS = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "a text"}


@dataclass(frozen=True)
class Option:
    """A keyword-only parameter of a method: its annotation as written and its default."""

    annotation: str
    default: Any = REQUIRED

    @property
    def expected(self) -> str:
        """The values it takes, in words."""
        choices = self._choices()
        if choices is not None:
            return "one of " + ", ".join(map(str, choices))
        parts = [_WORDS.get(part, "nothing (null)" if part == "None" else "") for part in self._parts()]
        return " or ".join(parts) if all(parts) else f"a value of type {self.annotation}"

    def accepts(self, value: Any) -> bool:
        """Whether a value from the configuration fits the annotation; annotations unknown here take anything."""
        choices = self._choices()
        if choices is not None:
            return any(value == choice and type(value) is type(choice) for choice in choices)
        parts = self._parts()
        if not all(part in _NUMBERS or part == "None" for part in parts):
            return True
        if value is None:
            return "None" in parts
        return any(
            isinstance(value, _NUMBERS[part]) and isinstance(value, bool) == (part == "bool")
            for part in parts
            if part != "None"
        )

    def _parts(self) -> list[str]:
        return [part.strip() for part in self.annotation.split("|")]

    def _choices(self) -> tuple[Any, ...] | None:
        node = ast.parse(self.annotation or "object", mode="eval").body
        if not (isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("Literal")):
            return None
        chosen = ast.literal_eval(node.slice)
        return chosen if isinstance(chosen, tuple) else (chosen,)


@dataclass(frozen=True)
class MethodDescription:
    """What a method's file says of it: needs, options, and the file."""

    name: str
    needs: Needs
    options: dict[str, Option]
    source: Path


Catalogue = Mapping[str, MethodDescription]


def read(directory: Path | None = None) -> dict[str, MethodDescription]:
    """Describe every method in a folder of source files (by default this one), by name.

    Raises:
        CatalogueError: a file cannot be parsed, a description is not made of literals, or a name occurs twice.
    """
    found: dict[str, MethodDescription] = {}
    for source in sorted((directory or Path(__file__).parent).glob("*.py")):
        try:
            body = ast.parse(source.read_text(encoding="utf-8")).body
        except SyntaxError as error:
            raise CatalogueError(f"{source}:{error.lineno}: {error.msg}; correct the file or remove it") from error
        for node in body:
            for decorator in getattr(node, "decorator_list", []):
                if isinstance(node, ast.FunctionDef) and _is_call(decorator, "method"):
                    description = _describe(node, decorator, source)
                    other = found.setdefault(description.name, description)
                    if other is not description:
                        raise CatalogueError(
                            f"{source}:{node.lineno}: the method {description.name!r} is in {other.source} too;"
                            " expected one file with that name"
                        )
    return found


def load(name: str) -> Method:
    """Import the one file that defines a method, and give the method.

    Raises:
        KeyError: no such method.
    """
    importlib.import_module(f"unsee.unlearning.{read()[name].source.stem}")
    return REGISTRY[name]


def _is_call(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name


def _describe(function: ast.FunctionDef, decorator: ast.Call, source: Path) -> MethodDescription:
    try:
        given = dict(zip(("name", "needs"), decorator.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in decorator.keywords if keyword.arg}
        name = ast.literal_eval(given["name"])
        needs = Needs()
        if "needs" in given:
            call = given["needs"]
            if not (isinstance(call, ast.Call) and _is_call(call, "Needs") and not call.args):
                raise ValueError("needs is not Needs(...)")
            needs = Needs(**{str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords})
        options = {
            argument.arg: Option(
                ast.unparse(argument.annotation) if argument.annotation else "",
                REQUIRED if default is None else ast.literal_eval(default),
            )
            for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        }
    except (KeyError, TypeError, ValueError) as error:
        raise CatalogueError(
            f"{source}:{function.lineno}: {function.name} is not described in literals ({error}); expected"
            ' @method("name", Needs(keyword=literal, ...)) and literal defaults behind the *'
        ) from error
    return MethodDescription(name, needs, options, source)
