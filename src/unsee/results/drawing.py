"""How every figure is drawn and written: one style, one colour and marker a method, the same bytes every time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import numpy as np  # noqa: E402
from matplotlib import rc_context  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

from unsee.files import written  # noqa: E402
from unsee.results.names import colours, label, markers  # noqa: E402

FORMATS = ("pdf", "svg", "png")
STYLE: Any = {  # Any: matplotlib types the keys
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.markersize": 5,
    "pdf.fonttype": 42,  # text stays text
    "svg.hashsalt": "unsee",  # the same bytes every time
    "figure.dpi": 200,
}


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write ``folder/name`` in every format of ``FORMATS``; equal figures give equal bytes."""
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
    with rc_context(STYLE):
        for extension in FORMATS:
            metadata = dates[extension]
            with written(folder / f"{name}.{extension}") as part:
                figure.savefig(part, format=extension, metadata=metadata, bbox_inches="tight", pad_inches=0.05)


def grid(rows: int, columns: int, width: float, height: float, **more: Any) -> tuple[Figure, np.ndarray]:
    """A figure with ``rows`` x ``columns`` axes, each about so many inches wide and high."""
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    axes: np.ndarray = figure.subplots(rows, columns, squeeze=False, **more)
    return figure, axes


def order(methods: Sequence[str]) -> list[str]:
    """The methods, the baselines first if they are there."""
    return (
        list(dict.fromkeys(["vanilla", "retain", *methods])) if {"vanilla", "retain"} <= set(methods) else list(methods)
    )


def legend(figure: Figure, methods: Sequence[str]) -> None:
    """Every method's colour and marker above the figure."""
    rows = -(-len(methods) // max(3, int(figure.get_figwidth())))
    colour, marker = colours(methods), markers(methods)
    handles = [
        Line2D([], [], color=colour[name], marker=marker[name], linestyle="none", label=label(name)) for name in methods
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=-(-len(methods) // rows), handletextpad=0.2)
