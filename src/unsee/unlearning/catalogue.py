"""The methods there are, read from their source files without importing them (planning loads no torch)."""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsee.jobs.option import REQUIRED, Option
from unsee.unlearning.method import Needs


class CatalogueError(ValueError):
    """A method's file does not say what it must; the message names file and line."""


_COMPARING: dict[type[ast.cmpop], Any] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True)
class Description:
    """What the workflow must know of a method: its needs, its options, its file.

    Attributes:
        requires: what must hold of the options together, as an expression over their names; empty for nothing.
    """

    name: str
    needs: Needs
    options: dict[str, Option]
    source: Path
    requires: str = ""

    @property
    def required_options(self) -> list[str]:
        """The options that ``requires`` is about, in its order."""
        nodes = ast.walk(ast.parse(self.requires or "True", mode="eval"))
        return list(dict.fromkeys(node.id for node in nodes if isinstance(node, ast.Name)))

    def accepts(self, values: Mapping[str, Any]) -> bool:
        """Whether ``requires`` holds of these values of the options."""
        return bool(_value(ast.parse(self.requires or "True", mode="eval").body, values))


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
        arguments = dict(zip(("name", "needs"), decorator.args, strict=False))
        arguments |= {keyword.arg: keyword.value for keyword in decorator.keywords if keyword.arg}
        name = ast.literal_eval(arguments["name"])
        requires = ast.literal_eval(arguments["requires"]) if "requires" in arguments else ""
        needs = Needs()
        if (call := arguments.get("needs")) is not None:
            if not isinstance(call, ast.Call) or call.args:
                raise ValueError(ast.unparse(call))
            needs = Needs(**{str(k.arg): ast.literal_eval(k.value) for k in call.keywords})
        options = {}
        for parameter, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
            annotation = ast.unparse(parameter.annotation) if parameter.annotation else ""
            options[parameter.arg] = Option(annotation, ast.literal_eval(default) if default else REQUIRED)
        description = Description(name, needs, options, path, requires)
        description.accepts(dict.fromkeys(options, 0))  # refuses an expression that cannot be read
    except (KeyError, SyntaxError, TypeError, ValueError) as error:
        expected = "@method('name', Needs(key=literal, ...)) and literal defaults"
        raise CatalogueError(f"{where}: cannot be read without running it ({error}); expected {expected}") from error
    if name != path.stem:
        raise CatalogueError(f"{where}: registers {name!r}, expected {path.stem!r} (the file's name)")
    return description


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """The value of an expression of names, constants, comparisons, and, or, not; every part of it is looked at.

    Raises:
        ValueError: it has another part, or a name without a value.
    """
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() if node.id in values:
            return values[node.id]
        case ast.UnaryOp(op=ast.Not()):
            return not _value(node.operand, values)
        case ast.BoolOp():
            parts = [bool(_value(part, values)) for part in node.values]
            return all(parts) if isinstance(node.op, ast.And) else any(parts)
        case ast.Compare() if all(type(sign) in _COMPARING for sign in node.ops):
            sides = [_value(side, values) for side in (node.left, *node.comparators)]
            pairs = zip(node.ops, sides, sides[1:], strict=False)
            return all([_COMPARING[type(sign)](left, right) for sign, left, right in pairs])
    raise ValueError(f"requires has {ast.unparse(node)}, which is no option, comparison, and, or, not")
