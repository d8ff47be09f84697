"""Figures of forgetting against utility."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from unsee.results.columns import colours, markers
from unsee.results.page.drawing import STYLE, grid, legend


def trade_off(summary: pd.DataFrame) -> Figure:
    """Forgetting against utility, a panel a ratio, with 95 % intervals and lines of equal combined score.

    Args:
        summary: as :func:`unsee.results.tables.summary.summary` gives it, of one model.
    """
    percents = summary["forget_percent"].unique()
    methods = list(summary["method"].unique())
    colour, marker = colours(methods), markers(methods)
    with rc_context(STYLE):
        figure, axes = grid(1, len(percents), 2.6, 2.5, sharex=True, sharey=True)
        for ax, percent in zip(axes[0], percents, strict=True):
            here = summary[summary["forget_percent"] == percent].set_index("method")
            top = float(here["utility"].max())
            gold = float(here.loc["retain", "utility"])
            x, y = np.meshgrid(np.linspace(0.001, max(1.0, top), 200), np.linspace(0.001, 1, 200))
            kept = np.minimum(1, x / gold) if gold > 0 else np.zeros_like(x)
            levels = ax.contour(
                x, y, 2 / (1 / np.maximum(kept, 1e-9) + 1 / y), [0.2, 0.4, 0.6, 0.8], colors="#cccccc", linewidths=0.6
            )
            ax.clabel(levels, fontsize=6, fmt="%.1f", colors="#999999")
            for method in here.index:
                row = here.loc[method]
                errors = [
                    np.abs([[row[name] - row[f"{name}_low"]], [row[f"{name}_high"] - row[name]]])
                    for name in ("utility", "forgetting")
                ]
                ax.errorbar(
                    row["utility"],
                    row["forgetting"],
                    xerr=np.nan_to_num(errors[0]),
                    yerr=np.nan_to_num(errors[1]),
                    color=colour[method],
                    marker=marker[method],
                    markersize=9 if method == "retain" else 5,
                    elinewidth=0.8,
                    capsize=1.5,
                    linestyle="none",
                )
            ax.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.07), title=f"{percent} % forgotten", xlabel="utility")
        axes[0][0].set_ylabel("forgetting")
        legend(figure, methods)
    return figure


def equal_utility(curves: pd.DataFrame, share: float) -> Figure:
    """Forgetting against the share of vanilla's utility that is kept, a line a method as its update grows, a panel a ratio.

    Args:
        curves: as :func:`unsee.results.statistics.trade_off.trade_off` gives them, of one model.
        share: where methods are compared, drawn as a line.
    """
    percents = curves["forget_percent"].unique()
    methods = list(curves["method"].unique())
    colour, marker = colours(methods), markers(methods)
    with rc_context(STYLE):
        figure, axes = grid(1, len(percents), 2.6, 2.7, sharex=True, sharey=True)
        # What keeps less than half is of no use; a line that leaves on the left is worth no room.
        left = min(0.9, max(0.5, float(curves["utility_kept"].min()))) - 0.02
        right = max(1.0, float(curves["utility_kept"].max())) + 0.02
        for ax, percent in zip(axes[0], percents, strict=True):
            here = curves[curves["forget_percent"] == percent]
            ax.axvline(share, color="#999999", linewidth=0.8, linestyle="--", zorder=0)
            ax.annotate(
                f"{100 * share:g} %", (share, -0.04), (-2, 0), textcoords="offset points", ha="right", fontsize=6
            )
            for method, part in here.groupby("method", sort=False):
                last = part.iloc[-1]
                if len(part) > 1:
                    ax.plot(part["utility_kept"], part["forgetting"], color=colour[method], linewidth=1.1)
                    inner = part.iloc[1:-1]
                    ax.plot(
                        inner["utility_kept"], inner["forgetting"], ".", color=colour[method], markersize=3, zorder=3
                    )
                ax.plot(
                    last["utility_kept"],
                    last["forgetting"],
                    color=colour[method],
                    marker=marker[method],
                    markersize=9 if method == "retain" else 5,
                    linestyle="none",
                    zorder=4,
                )
            ax.set(xlim=(left, right), ylim=(-0.05, 1.07), title=f"{percent} % forgotten")
            ax.set_xlabel("utility, of vanilla's")
        axes[0][0].set_ylabel("forgetting")
        legend(figure, methods)
    return figure
