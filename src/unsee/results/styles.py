"""The labels, colours and markers of models, the same in every table and figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class _Style:
    label: str
    colour: str
    marker: str


#: The reference models in greys and black.
_REFERENCES = {
    "base": _Style("base", "#c4c4c4", "d"),
    "vanilla": _Style("vanilla", "#999999", "s"),
    "retain": _Style("retain-only", "#000000", "*"),
}
#: The methods in the palette of Okabe and Ito, which the colour-blind can tell apart.
_METHODS = {
    "ga": _Style("GA", "#E69F00", "o"),
    "ga_diff": _Style("GA_Diff", "#56B4E9", "D"),
    "kl_min": _Style("KL_Min", "#009E73", "^"),
    "npo": _Style("NPO", "#0072B2", "v"),
    "mmunlearner": _Style("MMUnlearner", "#D55E00", "P"),
    "vl_eraser": _Style("VL-Eraser", "#CC79A7", "X"),
}
_SPARE_COLOURS = ("#F0E442", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7")
_SPARE_MARKERS = "hp<>H8"


def label_of(method: str) -> str:
    """The method's name in its paper; an entry of the configuration with another name keeps that name."""
    styles = _styles()
    return styles[method].label if method in styles else method


def colours_of(methods: Sequence[str]) -> dict[str, str]:
    """A colour for each method: the same in every figure and run; entries with other names take what is left, in order."""
    fixed = {name: style.colour for name, style in _styles().items() if name in methods}
    spare = [colour for colour in _SPARE_COLOURS if colour not in fixed.values()] or list(_SPARE_COLOURS)
    others = [name for name in methods if name not in fixed]
    return fixed | {name: spare[i % len(spare)] for i, name in enumerate(others)}


def markers_of(methods: Sequence[str]) -> dict[str, str]:
    """A marker for each method, for print without colours."""
    fixed = {name: style.marker for name, style in _styles().items() if name in methods}
    others = [name for name in methods if name not in fixed]
    return fixed | {name: _SPARE_MARKERS[i % len(_SPARE_MARKERS)] for i, name in enumerate(others)}


def _styles() -> dict[str, _Style]:
    return _REFERENCES | _METHODS
