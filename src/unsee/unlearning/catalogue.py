"""The methods of the folder ``methods``, read from their source files without importing them, so that planning loads no torch.

::

    from unsee.unlearning import catalogue

    npo = catalogue.read()["npo"]
    npo.label, npo.colour, npo.marker, npo.paper, npo.needs, npo.options
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unsee.core import declarations
from unsee.core.declarations import Declaration, DeclarationError
from unsee.core.option import Option
from unsee.unlearning.method import Needs


class CatalogueError(DeclarationError):
    """A method's file does not follow the rules of :mod:`unsee.unlearning.method`; the message names file and line."""


#: Colours of methods that do not declare one, in this order, but for those that another method declares. Those of the source
#: paper's methods are Okabe and Ito's palette without yellow; all others were chosen to be far from each other for readers with
#: normal vision, protanopia and deuteranopia.
SPARE_COLOURS = (
    *("#88DDEE", "#882255", "#EE1144", "#6699FF", "#0033BB", "#99DDCC"),
    *("#992200", "#CCCC99", "#992288", "#442222", "#EE9944", "#2266CC"),
)
#: The markers that a method may have, as matplotlib names them, the plainest first; the reference models have others.
MARKERS = "oD^PvXhp<>1234x8H+|_"
#: The decorator's texts, and the form of each.
_TEXTS = {"requires": ".*", "label": ".+", "colour": "#[0-9A-Fa-f]{6}", "marker": f"[{MARKERS}]", "paper": "https://.+"}
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
    """What a method's file declares.

    Attributes:
        name: The name of the method, which is that of its file.
        needs: Its inputs.
        options: Its options by name.
        source: Its file.
        requires: What must hold of the options together, an expression over their names; may be empty.
        label: Its name in tables and figures.
        colour: Its colour in figures, as ``#RRGGBB``.
        marker: Its marker in figures, one of :data:`MARKERS`.
        paper: The address of the paper; may be empty.
    """

    name: str
    needs: Needs
    options: dict[str, Option]
    source: Path
    requires: str = ""
    label: str = ""
    colour: str = ""
    marker: str = ""
    paper: str = ""

    @property
    def required_options(self) -> list[str]:
        """The options that ``requires`` names, in its order."""
        nodes = ast.walk(ast.parse(self.requires or "True", mode="eval"))
        return list(dict.fromkeys(node.id for node in nodes if isinstance(node, ast.Name)))

    def accepts(self, values: Mapping[str, Any]) -> bool:
        """Whether ``requires`` holds for these values of the options."""
        return bool(_value(ast.parse(self.requires or "True", mode="eval").body, values))


Catalogue = Mapping[str, Description]


def read(folder: Path | None = None) -> dict[str, Description]:
    """Describe every method of a folder (by default ``methods``), by name.

    A method without a label is labelled with its name. Methods without a colour or a marker get the first of
    :data:`SPARE_COLOURS` and of :data:`MARKERS` that no method declares, in the order of their names.

    Raises:
        CatalogueError: A file cannot be parsed, a decorator's argument or a default is not a literal, or a file
            registers another name than its own.
    """
    methods = declarations.read(
        folder or Path(__file__).parent / "methods", "method", ("name", "needs"), _describe, CatalogueError
    )
    for looks, spare in (("colour", SPARE_COLOURS), ("marker", MARKERS)):
        declared = {getattr(description, looks) for description in methods.values()}
        left = [value for value in spare if value not in declared] or spare
        without = [name for name, description in methods.items() if not getattr(description, looks)]
        for i, name in enumerate(without):
            missing: dict[str, Any] = {looks: left[i % len(left)]}
            methods[name] = replace(methods[name], **missing)
    return methods


def _describe(declaration: Declaration) -> Description:
    needs = Needs()
    if (call := declaration.arguments.get("needs")) is not None:
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError(ast.unparse(call))
        needs = Needs(**{str(k.arg): ast.literal_eval(k.value) for k in call.keywords})
    for name in ("retain_weight", "hidden"):  # the options that they name
        if (option := getattr(needs, name)) and option not in declaration.options:
            raise ValueError(f"{name} is {option!r}, which is no option")
    conditions = [(name, getattr(needs, name)) for name in ("whole_step", "prepare_unless", "prepare_pictures")]
    for name, values in [*conditions, *(("unread", values) for values in needs.unread.values())]:
        for option, value in values.items():
            if option not in declaration.options or not declaration.options[option].accepts(value):
                raise ValueError(f"{name} has {option}: {value!r}, which is no option with such a value")
    texts = {"label": declaration.name, **declaration.texts(_TEXTS)}
    description = Description(declaration.name, needs, declaration.options, declaration.source, **texts)
    description.accepts(dict.fromkeys(declaration.options, 0))  # refuses an expression that cannot be read
    return description


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """Evaluate an expression of names, constants, comparisons, ``and``, ``or`` and ``not``, without a short cut.

    Raises:
        ValueError: The expression has another part, or a name without a value.
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
