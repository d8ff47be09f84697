"""The figures of models under attack: what each attack brings back, and how fast training does."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from unsee.results.page.drawing import STYLE, grid, legend
from unsee.results.styles import attack_label, colours_of, label_of, markers_of
from unsee.results.tables.robustness import LOST, attack_states, combined, of_combined, two_decimals

#: Purple (below 0) to orange (above), which colour-blind people can tell apart.
_COLOURS = colormaps["PuOr_r"]
#: How much of its colour a cell keeps that is not clear of 0.
_PALE = 0.22
_HATCHES = {"destroyed": "////", "nothing to forget": "...."}


def heat_map(table: pd.DataFrame) -> Figure:
    """The combined excess of each method (columns) under each attack (rows) with its interval, a panel for each ratio.

    A cell has a frame and its full colour where the excess is clear of 0 after Holm's correction. Destroyed methods and cells
    without anything to forget are hatched.

    Args:
        table: of one model, see :func:`unsee.results.statistics.robustness.robustness`.
    """
    rows = combined(table)
    rows = rows[rows["method"] != "retain"]
    percents = sorted(rows["forget_percent"].unique())
    methods, states = list(rows["method"].unique()), attack_states(rows)
    largest = max(0.1, float(rows["excess"].abs().max()))
    scale = ScalarMappable(Normalize(-largest, largest), _COLOURS)
    with rc_context(STYLE | {"axes.grid": False, "hatch.linewidth": 0.5}):
        figure, axes = grid(1, len(percents), 0.8 * len(methods) + 1.0, 0.27 * len(states) + 1.1, sharey=True)
        for ax, percent in zip(axes[0], percents, strict=True):
            part = rows[rows["forget_percent"] == percent]
            for row in part.to_dict("records"):
                place = states.index((row["attack"], row["variant"])), methods.index(row["method"])
                _cell(ax, *place, row, scale)
            ax.set(xlim=(-0.5, len(methods) - 0.5), ylim=(len(states) - 0.5, -0.5), title=f"{percent} % forgotten")
            ax.set_xticks(
                range(len(methods)), list(map(label_of, methods)), rotation=35, ha="right", rotation_mode="anchor"
            )
            ax.set_yticks(range(len(states)), [attack_label(*state) for state in states])
            ax.tick_params(length=0)
            ax.spines[:].set_visible(False)
        figure.colorbar(
            scale, ax=list(axes[0]), label="excess: gain beyond the retain-only model's", shrink=0.7, pad=0.01
        )
        _heat_legend(figure, rows)
    return figure


def _cell(ax: Axes, i: int, j: int, row: Mapping[Hashable, Any], scale: ScalarMappable) -> None:
    """One cell: its colour, hatching and numbers; a word where the model or its control has diverged."""
    if row["verdict"] in LOST:
        words = str(row["verdict"]).replace(" ", "\n")
        ax.text(j, i, words, ha="center", va="center", fontsize=4.8, color="#555555")
        return
    clear = row["verdict"] in ("recovers", "returns", "falls")
    colour = np.array(scale.to_rgba(row["excess"])[:3])
    if not clear:
        colour = 1 - _PALE * (1 - colour)
    hatch = _HATCHES["destroyed"] if row["destroyed"] else _HATCHES.get(row["verdict"])
    place = (j - 0.47, i - 0.45), 0.94, 0.9
    edge, width = ("black", 0.8) if clear else ("#aaaaaa", 0)
    ax.add_patch(Rectangle(*place, facecolor=tuple(colour), edgecolor=edge, hatch=hatch, linewidth=width))
    brightness = float(colour @ [0.299, 0.587, 0.114])
    ink = ("white" if brightness < 0.5 else "black") if clear else "#555555"
    box = {"facecolor": tuple(colour), "edgecolor": "none", "pad": 0.6} if hatch else None
    minus = str.maketrans("-", "\N{MINUS SIGN}")
    value = two_decimals(row["excess"]).translate(minus)
    weight = "bold" if row["verdict"] == "recovers" else "normal"
    ax.text(j, i - 0.18, value, ha="center", va="center", fontsize=6.5, color=ink, fontweight=weight, bbox=box)
    if not np.isnan(row["excess_low"]):
        ends = f"{two_decimals(row['excess_low'])} to {two_decimals(row['excess_high'])}".translate(minus)
        ax.text(j, i + 0.22, ends, ha="center", va="center", fontsize=4.8, color=ink, bbox=box)


def _heat_legend(figure: Figure, rows: pd.DataFrame) -> None:
    """What full colour and hatching mean, as far as they occur."""
    full, pale = _COLOURS(0.85)[:3], tuple(1 - _PALE * (1 - np.array(_COLOURS(0.85)[:3])))
    handles = [
        Patch(facecolor=full, edgecolor="black", linewidth=0.8, label="clear of 0 (Holm-corrected); bold: recovers"),
        Patch(facecolor=pale, label="not clear, or control"),
    ]
    occurring = {
        "destroyed": rows["destroyed"].any(),
        "nothing to forget": (rows["verdict"] == "nothing to forget").any(),
    }
    handles += [
        Patch(facecolor="white", edgecolor="#aaaaaa", hatch=hatch, label=name)
        for name, hatch in _HATCHES.items()
        if occurring[name]
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)


def relearning(table: pd.DataFrame) -> Figure:
    """The combined score over steps of the attacks that train: a panel for each ratio and variant, a line for each model.

    A filled marker says that the method recovers there, beyond the retain-only model; vanilla and the retain-only model are lines
    without markers. A line starts with the score without an attack, and ends where training diverged. Destroyed methods are dotted.

    Args:
        table: of one model, see :func:`unsee.results.statistics.robustness.robustness`.
    """
    rows = of_combined(table)
    rows = rows[rows.groupby("attack")["step"].transform("max") > 0]
    methods = list(rows["method"].unique())
    panels = [(percent, *state) for percent in sorted(rows["forget_percent"].unique()) for state in attack_states(rows)]
    with rc_context(STYLE):
        if not panels:
            figure = Figure(figsize=(2.8, 1.25))
            figure.text(0.5, 0.5, "No attack trains the models.", ha="center", va="center")
            return figure
        columns = min(4, len(panels))
        figure, axes = grid(-(-len(panels) // columns), columns, 2.1, 1.9, sharey=True)
        several = rows["forget_percent"].nunique() > 1
        for ax, (percent, attack, variant) in zip(axes.flat, panels, strict=False):
            here = (rows["forget_percent"] == percent) & (rows["attack"] == attack) & (rows["variant"] == variant)
            for method in methods:
                _curve(ax, rows[here & (rows["method"] == method)], method)
            ax.set_title(attack_label(attack, variant) + (f"\n{percent} % forgotten" if several else ""), fontsize=7)
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)
        figure.supxlabel("steps of training", fontsize=8)
        figure.supylabel("combined score of forget and test", fontsize=8)
        legend(figure, methods)
    return figure


def _curve(ax: Axes, part: pd.DataFrame, method: str) -> None:
    """One model's score without the attack and after each number of steps."""
    if part.empty:
        return
    part = part.sort_values("step")
    steps, values = part["step"].tolist(), part["after"].tolist()
    clear = (part["verdict"] == "recovers").tolist()
    if steps[0] > 0:
        steps, values, clear = [0, *steps], [part["before"].iloc[0], *values], [False, *clear]
    colour, marker = colours_of([method])[method], markers_of([method])[method]
    control = method in ("vanilla", "retain")
    style = ":" if part["destroyed"].iloc[0] else "--" if control else "-"
    ax.plot(steps, values, color=colour, linestyle=style, linewidth=1.4 if control else 1.0, zorder=2)
    if control:
        return
    for step, value, filled in zip(steps, values, clear, strict=True):
        face = colour if filled else "white"
        ax.plot(
            step, value, marker=marker, color=colour, markerfacecolor=face, markersize=4, linestyle="none", zorder=3
        )
