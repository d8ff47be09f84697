"""The methods there are, read from their source files without importing them (planning loads no torch)."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsee.unlearning.method import Needs


@dataclass(frozen=True)
class Description:
    """What the workflow must know of a method: its needs, its options with their defaults, its file."""

    name: str
    needs: Needs
    options: dict[str, Any]
    source: Path


def read(folder: Path | None = None) -> dict[str, Description]:
    """Every method of a folder (this one by default), by name.

    Raises:
        ValueError: a decorator or default that is no literal, or a file that registers another name than its own.
    """
    found = {}
    for path in sorted((folder or Path(__file__).parent).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "method":
                        description = _describe(path, node, decorator)
                        found[description.name] = description
    return found


def _describe(path: Path, function: ast.FunctionDef, decorator: ast.Call) -> Description:
    try:
        name = ast.literal_eval(decorator.args[0])
        needs = Needs()
        if len(decorator.args) > 1:
            call = decorator.args[1]
            assert isinstance(call, ast.Call)
            needs = Needs(**{str(k.arg): ast.literal_eval(k.value) for k in call.keywords})
        options = {
            argument.arg: ast.literal_eval(default) if default else None
            for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        }
    except (ValueError, IndexError, AssertionError) as error:
        raise ValueError(
            f"{path}, line {decorator.lineno}: expected @method('name', Needs(...)) and keyword defaults as literals"
        ) from error
    if name != path.stem:
        raise ValueError(f"{path}, line {decorator.lineno}: registers {name!r}, expected {path.stem!r} (the file's name)")
    return Description(name, needs, options, path)
