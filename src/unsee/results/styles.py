"""The labels, colours and markers of models, and the labels of attacks, the same in every table and figure.

A method declares them in its file (:mod:`unsee.unlearning.method`), an attack its label (:mod:`unsee.attacks.attack`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from unsee.attacks import catalogue as attack_catalogue
from unsee.results.columns import REFERENCE_LABELS
from unsee.unlearning import catalogue


@dataclass(frozen=True)
class _Style:
    label: str
    colour: str
    marker: str


#: The reference models, which have no file, in sand, grey and black.
_REFERENCES = {
    "base": _Style(REFERENCE_LABELS["base"], "#b09f86", "d"),
    "vanilla": _Style(REFERENCE_LABELS["vanilla"], "#999999", "s"),
    "retain": _Style(REFERENCE_LABELS["retain"], "#000000", "*"),
}


def label_of(method: str) -> str:
    """The method's name in its paper; an entry of the configuration with another name keeps that name."""
    styles = _styles()
    return styles[method].label if method in styles else method


def attack_label(attack: str, variant: str = "") -> str:
    """The label of an attack's file, with its variant; an entry of the configuration with another name keeps that name."""
    label = _attack_labels().get(attack, attack)
    return f"{label}, {variant}" if variant else label


def colours_of(methods: Sequence[str]) -> dict[str, str]:
    """A colour for each method: the same in every figure and run; entries with other names take spare colours, in order."""
    colours = {name: style.colour for name, style in _styles().items() if name in methods}
    spare = [colour for colour in catalogue.SPARE_COLOURS if colour not in colours.values()] or catalogue.SPARE_COLOURS
    others = [name for name in methods if name not in colours]
    return colours | {name: spare[i % len(spare)] for i, name in enumerate(others)}


def markers_of(methods: Sequence[str]) -> dict[str, str]:
    """A marker for each method, for print without colours; entries with other names take spare markers, in order."""
    markers = {name: style.marker for name, style in _styles().items() if name in methods}
    spare = [marker for marker in catalogue.MARKERS if marker not in markers.values()] or catalogue.MARKERS
    others = [name for name in methods if name not in markers]
    return markers | {name: spare[i % len(spare)] for i, name in enumerate(others)}


def in_words(names: Sequence[str]) -> str:
    """Names as a list in words: ``a, b and c``; empty without names."""
    return "".join(names) if len(names) < 2 else f"{', '.join(names[:-1])} and {names[-1]}"


@cache
def _attack_labels() -> dict[str, str]:
    return {name: declared.label for name, declared in attack_catalogue.read().items()}


def size_of(marker: str) -> float:
    """The size of a marker in points, so that those of lines alone and the star show as much as the others."""
    return 9 if marker in "*1234x+" else 5


@cache
def _styles() -> dict[str, _Style]:
    """The style of each reference model and each method of the catalogue."""
    methods = catalogue.read().items()
    return _REFERENCES | {
        name: _Style(description.label, description.colour, description.marker) for name, description in methods
    }
