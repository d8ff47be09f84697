"""The attacks of the folder ``methods``, read from their source files without importing them, so that planning loads no torch.

::

    from unsee.attacks import catalogue

    noise = catalogue.read()["noise"]
    noise.kind, noise.label, noise.needs, noise.options, noise.paper
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unsee.attacks.attack import Kind, Need
from unsee.core import declarations
from unsee.core.declarations import Declaration, DeclarationError
from unsee.core.option import Option


class CatalogueError(DeclarationError):
    """An attack's file does not follow the rules of :mod:`unsee.attacks.attack`; the message names file and line."""


KINDS: tuple[Kind, ...] = typing.get_args(Kind)
NEEDS: tuple[Need, ...] = typing.get_args(Need)
#: The parameters that may follow the first one, by kind.
MORE_INPUTS: Mapping[Kind, tuple[str, ...]] = {
    "weights": (),
    "picture": ("random",),
    "question": ("random", "people"),
}
#: The decorator's texts, and the form of each.
_TEXTS = {"label": ".+", "paper": "https://.+"}


@dataclass(frozen=True)
class Description:
    """What an attack's file declares.

    Attributes:
        name: The name of the attack, which is that of its file.
        kind: What it changes: ``weights``, ``picture`` or ``question``.
        needs: What benchmark and model must have.
        options: Its options by name.
        source: Its file.
        label: Its name in tables and figures.
        paper: The address of the paper; may be empty.
        trains: Whether it trains the model that it attacks.
    """

    name: str
    kind: Kind
    needs: tuple[Need, ...]
    options: dict[str, Option]
    source: Path
    label: str = ""
    paper: str = ""
    trains: bool = False


Catalogue = Mapping[str, Description]


def read(folder: Path | None = None) -> dict[str, Description]:
    """Describe every attack of a folder (by default ``methods``), by name.

    Raises:
        CatalogueError: A file cannot be parsed, a decorator's argument or a default is not a literal, a parameter is unknown,
            or a file registers another name than its own.
    """
    return declarations.read(
        folder or Path(__file__).parent / "methods", "attack", ("name",), _describe, CatalogueError
    )


def _describe(declaration: Declaration) -> Description:
    first, *more = declaration.inputs or ("",)
    if first not in KINDS:
        raise ValueError(
            f"its first parameter is {first!r}; expected one of {', '.join(KINDS)}, which is what it changes"
        )
    if unknown := [name for name in more if name not in MORE_INPUTS[first]]:
        words = ", ".join(MORE_INPUTS[first]) or "none"
        raise ValueError(f"its parameter {unknown[0]!r} is unknown; expected behind {first!r}: {words}")
    needs = tuple(declaration.literal("needs", ()))
    if unmet := [need for need in needs if need not in NEEDS]:
        raise ValueError(f"needs has {unmet[0]!r}; expected some of {', '.join(NEEDS)}")
    texts = {"label": declaration.name, **declaration.texts(_TEXTS)}
    trains = bool(declaration.literal("trains", False))
    return Description(declaration.name, first, needs, declaration.options, declaration.source, trains=trains, **texts)
