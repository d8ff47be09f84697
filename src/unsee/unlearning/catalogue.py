"""The methods there are, read from their source files without importing them (planning loads no torch)."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsee.unlearning.method import Needs


class CatalogueError(ValueError):
    """A method's file does not say what it must; the message names file and line."""


#: The default of an option that has none: the configuration must give it.
REQUIRED: Any = object()

_TYPES = {"float": (float, int), "int": (int,), "bool": (bool,), "str": (str,), "None": (type(None),)}
_WORDS = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "a text", "None": "null"}


@dataclass(frozen=True)
class Option:
    """A keyword-only parameter of a method: its annotation as written, and its default."""

    annotation: str
    default: Any = REQUIRED

    @property
    def expected(self) -> str:
        """The values it takes, in words."""
        if (choices := self._choices()) is not None:
            return "one of " + ", ".join(map(str, choices))
        parts = self._parts()
        known = all(part in _WORDS for part in parts)
        return " or ".join(_WORDS[part] for part in parts) if known else f"a value of type {self.annotation}"

    def accepts(self, value: Any) -> bool:
        """Whether a value from the configuration fits the annotation; one that is not known here takes anything."""
        if (choices := self._choices()) is not None:
            return any(value == choice and type(value) is type(choice) for choice in choices)
        parts = self._parts()
        if not all(part in _TYPES for part in parts):
            return True
        # True is an int to Python, but no number to a reader.
        return any(isinstance(value, _TYPES[part]) and isinstance(value, bool) == (part == "bool") for part in parts)

    def _parts(self) -> list[str]:
        return [part.strip() for part in self.annotation.split("|")]

    def _choices(self) -> tuple[Any, ...] | None:
        node = ast.parse(self.annotation or "Any", mode="eval").body
        if not (isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("Literal")):
            return None
        choices = ast.literal_eval(node.slice)
        return choices if isinstance(choices, tuple) else (choices,)


@dataclass(frozen=True)
class Description:
    """What the workflow must know of a method: its needs, its options, its file."""

    name: str
    needs: Needs
    options: dict[str, Option]
    source: Path


Catalogue = Mapping[str, Description]


def read(folder: Path | None = None) -> dict[str, Description]:
    """Every method of a folder (this one by default), by name.

    Raises:
        CatalogueError: a file that cannot be parsed, a decorator or default that is no literal, or a file that
            registers another name than its own.
    """
    found = {}
    for path in sorted((folder or Path(__file__).parent).glob("*.py")):
        try:
            body = ast.parse(path.read_text(encoding="utf-8")).body
        except SyntaxError as error:
            raise CatalogueError(f"{path}, line {error.lineno}: not Python ({error.msg}); correct the file") from error
        for node in [node for node in body if isinstance(node, ast.FunctionDef)]:
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).split(".")[-1] == "method":
                    description = _describe(path, node, decorator)
                    found[description.name] = description
    return found


def _describe(path: Path, function: ast.FunctionDef, decorator: ast.Call) -> Description:
    where = f"{path}, line {decorator.lineno}"
    try:
        given = dict(zip(("name", "needs"), decorator.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in decorator.keywords if keyword.arg}
        name = ast.literal_eval(given["name"])
        needs = Needs()
        if (call := given.get("needs")) is not None:
            if not isinstance(call, ast.Call) or call.args:
                raise ValueError(ast.unparse(call))
            needs = Needs(**{str(k.arg): ast.literal_eval(k.value) for k in call.keywords})
        arguments = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        options = {
            argument.arg: Option(
                ast.unparse(argument.annotation) if argument.annotation else "",
                ast.literal_eval(default) if default else REQUIRED,
            )
            for argument, default in arguments
        }
    except (KeyError, TypeError, ValueError) as error:
        expected = "@method('name', Needs(key=literal, ...)) and literal defaults"
        raise CatalogueError(f"{where}: cannot be read without running it ({error}); expected {expected}") from error
    if name != path.stem:
        raise CatalogueError(f"{where}: registers {name!r}, expected {path.stem!r} (the file's name)")
    return Description(name, needs, options, path)
