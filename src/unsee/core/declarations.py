"""Functions that a decorator declares, read from their source files without importing them, so that planning loads no torch.

Unlearning methods and attacks are such functions: one file each, which has the name of the function that it declares. Keyword-only
parameters are the function's options; the decorator's arguments and all defaults are literals.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from unsee.core.option import REQUIRED, Option

T = TypeVar("T")


class DeclarationError(ValueError):
    """A file does not declare its function as it should; the message names file and line."""


@dataclass(frozen=True)
class Declaration:
    """A declared function.

    Attributes:
        name: Its name, which is that of its file.
        source: Its file.
        arguments: The decorator's arguments by name, as written.
        inputs: The names of its positional parameters.
        options: Its keyword-only parameters.
    """

    name: str
    source: Path
    arguments: Mapping[str, ast.expr]
    inputs: tuple[str, ...]
    options: dict[str, Option]

    def literal(self, argument: str, default: Any) -> Any:
        """The value of an argument of the decorator, or the default.

        Raises:
            ValueError: The argument is not a literal.
        """
        return ast.literal_eval(self.arguments[argument]) if argument in self.arguments else default

    def texts(self, forms: Mapping[str, str]) -> dict[str, str]:
        """Those of the decorator's arguments that are texts.

        Args:
            forms: Their names, and the regular expression that each must match.

        Raises:
            ValueError: An argument is not a text of its form.
        """
        texts = {key: self.literal(key, None) for key in forms if key in self.arguments}
        for key, value in texts.items():
            if not isinstance(value, str) or not re.fullmatch(forms[key], value):
                raise ValueError(f"{key} is {value!r}; expected a text like {forms[key]}")
        return texts


def read(
    folder: Path,
    decorator: str,
    positional: Sequence[str],
    describe: Callable[[Declaration], T],
    error: type[DeclarationError] = DeclarationError,
) -> dict[str, T]:
    """Describe every declared function of a folder, by name.

    Args:
        folder: The folder of the files.
        decorator: The name of the decorator.
        positional: The names of its positional arguments, ``name`` first.
        describe: Makes a description of a declaration; its errors are reported with file and line.
        error: The class of the errors.

    Raises:
        DeclarationError: A file cannot be parsed, a decorator's argument or a default is not a literal, ``describe`` refuses
            the declaration, or a file declares another name than its own.
    """
    described = {}
    for path in sorted(folder.glob("*.py")):
        try:
            body = ast.parse(path.read_text(encoding="utf-8")).body
        except SyntaxError as problem:
            raise error(f"{path}, line {problem.lineno}: not Python ({problem.msg}); correct the file") from problem
        for node in (node for node in body if isinstance(node, ast.FunctionDef)):
            for call in node.decorator_list:
                if not isinstance(call, ast.Call) or ast.unparse(call.func).split(".")[-1] != decorator:
                    continue
                where = f"{path}, line {call.lineno}"
                try:
                    declaration = _declaration(path, node, call, positional)
                    described[declaration.name] = describe(declaration)
                except (KeyError, SyntaxError, TypeError, ValueError) as problem:
                    expected = f"@{decorator}('name', key=literal, ...) and literal defaults"
                    raise error(
                        f"{where}: cannot be read without running it ({problem}); expected {expected}"
                    ) from problem
                if declaration.name != path.stem:
                    raise error(f"{where}: registers {declaration.name!r}, expected {path.stem!r} (the file's name)")
    return described


def _declaration(path: Path, function: ast.FunctionDef, call: ast.Call, positional: Sequence[str]) -> Declaration:
    arguments = dict(zip(positional, call.args, strict=False))
    arguments |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    options = {}
    for parameter, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        annotation = ast.unparse(parameter.annotation) if parameter.annotation else ""
        value = ast.literal_eval(default) if default else REQUIRED
        # A default that is a list would be shared between calls, so files write a tuple.
        options[parameter.arg] = Option(annotation, list(value) if isinstance(value, tuple) else value)
    inputs = tuple(parameter.arg for parameter in (*function.args.posonlyargs, *function.args.args))
    return Declaration(ast.literal_eval(arguments["name"]), path, arguments, inputs, options)
