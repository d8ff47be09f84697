"""The figures of forgetting against utility."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unsee.results.page.drawing import STYLE, grid, legend
from unsee.results.statistics.trade_off import stops_early
from unsee.results.styles import colours_of, markers_of, size_of


def trade_off(summary: pd.DataFrame) -> Figure:
    """Forgetting against utility of every model, a panel for each ratio, with 95 % intervals and lines of equal combined score.

    Args:
        summary: of one model, see :func:`unsee.results.tables.summary.summary`. The base model, which was never trained on the
            people, is left out.
    """
    summary = summary[summary["method"] != "base"]
    percents = summary["forget_percent"].unique()
    methods = list(summary["method"].unique())
    colours, markers = colours_of(methods), markers_of(methods)
    with rc_context(STYLE):
        figure, axes = grid(1, len(percents), 2.6, 2.5, sharex=True, sharey=True)
        for ax, percent in zip(axes[0], percents, strict=True):
            rows = summary[summary["forget_percent"] == percent].set_index("method")
            _lines_of_equal_score(ax, float(rows["utility"].max()), float(rows.loc["retain", "utility"]))
            for method, row in rows.iterrows():
                x_error, y_error = (
                    np.abs([[row[name] - row[f"{name}_low"]], [row[f"{name}_high"] - row[name]]])
                    for name in ("utility", "forgetting")
                )
                ax.errorbar(
                    row["utility"],
                    row["forgetting"],
                    xerr=np.nan_to_num(x_error),
                    yerr=np.nan_to_num(y_error),
                    color=colours[str(method)],
                    marker=markers[str(method)],
                    markersize=size_of(markers[str(method)]),
                    elinewidth=0.8,
                    capsize=1.5,
                    linestyle="none",
                )
            ax.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.07), title=f"{percent} % forgotten", xlabel="utility")
        axes[0][0].set_ylabel("forgetting")
        legend(figure, methods)
    return figure


def _lines_of_equal_score(ax: Axes, largest: float, of_retain: float) -> None:
    """Contours of the harmonic mean of forgetting and of utility as a share of the retain-only model's."""
    x, y = np.meshgrid(np.linspace(0.001, max(1.0, largest), 200), np.linspace(0.001, 1, 200))
    kept = np.minimum(1, x / of_retain) if of_retain > 0 else np.zeros_like(x)
    combined = 2 / (1 / np.maximum(kept, 1e-9) + 1 / y)
    lines = ax.contour(x, y, combined, [0.2, 0.4, 0.6, 0.8], colors="#cccccc", linewidths=0.6)
    ax.clabel(lines, fontsize=6, fmt="%.1f", colors="#999999")


def equal_utility(curves: pd.DataFrame, share: float) -> Figure:
    """Forgetting against the kept share of vanilla's utility: a panel for each ratio, a line for each method as its update grows.

    The line of a method that stops before the compared share is dotted.

    Args:
        curves: of one model, see :func:`unsee.results.statistics.trade_off.trade_off`.
        share: of vanilla's utility at which methods are compared; drawn as a dashed line.
    """
    percents = curves["forget_percent"].unique()
    methods = list(curves["method"].unique())
    colours, markers = colours_of(methods), markers_of(methods)
    with rc_context(STYLE):
        figure, axes = grid(1, len(percents), 2.6, 2.7, sharex=True, sharey=True)
        # A model that keeps less than half of the utility is useless, so the panels end there.
        left = min(0.9, max(0.5, float(curves["utility_kept"].min()))) - 0.02
        right = max(1.0, float(curves["utility_kept"].max())) + 0.02
        for ax, percent in zip(axes[0], percents, strict=True):
            rows = curves[curves["forget_percent"] == percent]
            ax.axvline(share, color="#999999", linewidth=0.8, linestyle="--", zorder=0)
            ax.annotate(
                f"{100 * share:g} %", (share, -0.04), (-2, 0), textcoords="offset points", ha="right", fontsize=6
            )
            for name, part in rows.groupby("method", sort=False):
                method = str(name)
                early = len(part) > 1 and stops_early(float(part["utility_kept"].iloc[-1]), share)
                _curve(ax, part, colours[method], markers[method], ":" if early else "-")
            ax.set(xlim=(left, right), ylim=(-0.05, 1.07), title=f"{percent} % forgotten")
            ax.set_xlabel("share of vanilla's utility")
        axes[0][0].set_ylabel("forgetting")
        legend(figure, methods)
    return figure


def _curve(ax: Axes, part: pd.DataFrame, colour: str, marker: str, line: str) -> None:
    """A line through all scales with small dots, and a marker at the whole update."""
    x, y = part["utility_kept"].to_numpy(), part["forgetting"].to_numpy()
    if len(part) > 1:
        ax.plot(x, y, color=colour, linewidth=1.1, linestyle=line)
        ax.plot(x[1:-1], y[1:-1], ".", color=colour, markersize=3, zorder=3)
    ax.plot(x[-1], y[-1], color=colour, marker=marker, markersize=size_of(marker), linestyle="none", zorder=4)
