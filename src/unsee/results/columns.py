"""What methods are called and which colour they have, everywhere."""

from __future__ import annotations

from collections.abc import Sequence

_LABELS = {
    "vanilla": "vanilla",
    "retain": "retain-only",
    "ga": "GA",
    "ga_diff": "GA_Diff",
    "kl_min": "KL_Min",
    "npo": "NPO",
    "mmunlearner": "MMUnlearner",
    "vl_eraser": "VL-Eraser",
}
#: Okabe and Ito's palette, which can be told apart by the colour-blind; grey and black for the baselines.
_COLOURS = {
    "vanilla": "#999999",
    "retain": "#000000",
    "ga": "#E69F00",
    "ga_diff": "#56B4E9",
    "kl_min": "#009E73",
    "npo": "#0072B2",
    "mmunlearner": "#D55E00",
    "vl_eraser": "#CC79A7",
}
_SPARE = ("#F0E442", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7")
_MARKERS = {"vanilla": "s", "retain": "*", "ga": "o", "ga_diff": "D", "kl_min": "^", "npo": "v"} | {
    "mmunlearner": "P",
    "vl_eraser": "X",
}


def label(method: str) -> str:
    """The name that the papers use; an entry that they do not know keeps its own."""
    return _LABELS.get(method, method)


def colours(methods: Sequence[str]) -> dict[str, str]:
    """A colour a method: the same in every figure and run for the known ones, then what is left, in order."""
    own = {name: _COLOURS[name] for name in methods if name in _COLOURS}
    free = [colour for colour in _SPARE if colour not in own.values()] or list(_SPARE)
    others = [name for name in methods if name not in own]
    return own | {name: free[i % len(free)] for i, name in enumerate(others)}


def markers(methods: Sequence[str]) -> dict[str, str]:
    """A marker a method, for print without colours."""
    others = [name for name in methods if name not in _MARKERS]
    return {name: _MARKERS.get(name) or "hp<>d8"[others.index(name) % 6] for name in methods}
