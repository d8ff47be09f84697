"""Figures: each a function from tables to a matplotlib figure."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from unsee.benchmarks.schema import MODALITIES, SETS
from unsee.core.images import decode
from unsee.results.columns import colours, label, markers
from unsee.results.page.drawing import STYLE, grid, legend, order
from unsee.results.statistics.intervals import clustered_interval

#: (task, metric) of a panel, what its axis is called, and what one is written as.
PANELS = {
    ("classification", "accuracy"): ("classification (%)", 100.0),
    ("generation", "rouge_l"): ("ROUGE-L", 1.0),
    ("cloze", "accuracy"): ("cloze (%)", 100.0),
}


def ratios(answers: pd.DataFrame) -> Figure:
    """Every set and task over the forget ratios, image and text together, with 95 % intervals by person.

    Args:
        answers: as :func:`unsee.results.tables.scores.gather` gives them, of one model.
    """
    percents = sorted(answers["forget_percent"].unique())
    methods = order(list(answers["method"].unique()))
    colour, marker = colours(methods), markers(methods)
    shift = 0.7 / len(methods)
    with rc_context(STYLE):
        figure, axes = grid(len(SETS), len(PANELS), 2.4, 1.5, sharex=True)
        for i, group in enumerate(SETS):
            for j, ((task, metric), (title, scale)) in enumerate(PANELS.items()):
                ax = axes[i][j]
                part = _pick(answers, set=group, task=task, metric=metric)
                for k, method in enumerate(methods):
                    found = [_interval(_pick(part, method=method, forget_percent=p), scale) for p in percents]
                    x = np.arange(len(percents)) + (k - (len(methods) - 1) / 2) * shift
                    mean, low, high = np.array(found).T
                    ax.errorbar(
                        x,
                        mean,
                        yerr=np.nan_to_num(np.array([mean - low, high - mean])),
                        color=colour[method],
                        marker=marker[method],
                        markersize=3.5,
                        elinewidth=0.8,
                        linewidth=0.7,
                    )
                ax.set_ylim(-0.03 * scale, 1.03 * scale)
                ax.set_xlim(-0.5, len(percents) - 0.5)
                ax.set_xticks(range(len(percents)), [f"{p} %" for p in percents])
                ax.grid(False, axis="x")
                if not i:
                    ax.set_title(title)
                if not j:
                    aim = "aim: retain-only" if group in ("forget", "test") else "higher is better"
                    ax.set_ylabel(f"{group}\n({aim})")
        figure.supxlabel("people forgotten", fontsize=8)
        legend(figure, methods)
    return figure


def modalities(answers: pd.DataFrame) -> Figure:
    """Does it forget in both? What is left of the forgotten people in text (x) and in image (y), by ratio and task.

    Args:
        answers: as :func:`unsee.results.tables.scores.gather` gives them, of one model.
    """
    percents = sorted(answers["forget_percent"].unique())
    methods = order(list(answers["method"].unique()))
    colour, marker = colours(methods), markers(methods)
    with rc_context(STYLE):
        figure, axes = grid(len(percents), len(PANELS), 2.3, 2.2)
        for i, percent in enumerate(percents):
            for j, ((task, metric), (title, scale)) in enumerate(PANELS.items()):
                ax = axes[i][j]
                part = _pick(answers, set="forget", task=task, metric=metric, forget_percent=percent)
                ax.plot([0, scale], [0, scale], color="#cccccc", linewidth=0.8, zorder=0)
                for method in methods:
                    own = _pick(part, method=method)
                    (y, *y_ends), (x, *x_ends) = (_interval(_pick(own, modality=name), scale) for name in MODALITIES)
                    ax.errorbar(
                        x,
                        y,
                        xerr=np.nan_to_num(np.abs([[end - x] for end in x_ends])),
                        yerr=np.nan_to_num(np.abs([[end - y] for end in y_ends])),
                        color=colour[method],
                        marker=marker[method],
                        markersize=9 if method == "retain" else 5,
                        elinewidth=0.6,
                    )
                ends, ticks = (-0.06 * scale, 1.06 * scale), np.linspace(0, scale, 5)
                ax.set(xlim=ends, ylim=ends, xticks=ticks, yticks=ticks, aspect="equal")
                ax.set_title(title if len(percents) == 1 else f"{title}, {percent} % forgotten")
                ax.set_xlabel("asked in text")
                ax.set_ylabel("asked with the picture")
        legend(figure, methods)
    return figure


def training(curves: Mapping[tuple[int, str, int], pd.DataFrame]) -> Figure:
    """Loss over steps, a panel a method, a line a ratio and seed: the mean of a twelfth of the steps, single steps pale behind it.

    Args:
        curves: metrics.parquet (``step``, ``loss``) of each run, by (ratio, method, seed).
    """
    methods = order(list(dict.fromkeys(method for _, method, _ in curves)))
    percents = sorted({percent for percent, method, _ in curves if method != "vanilla"})
    colour = colours(methods)
    columns = min(4, len(methods))
    styles: dict[int, Any] = dict(zip(percents, ["-", "--", ":", "-."] * len(percents), strict=False))
    with rc_context(STYLE):
        figure, axes = grid(-(-len(methods) // columns), columns, 2.0, 1.5)
        for ax, method in zip(axes.flat, methods, strict=False):
            for (percent, name, _), table in sorted(curves.items()):
                if name == method:
                    style = styles.get(percent, "-")
                    ax.plot(table["step"], table["loss"], color=colour[method], linewidth=0.4, alpha=0.25)
                    # Single batches differ more than epochs do.
                    smooth = table["loss"].rolling(max(1, len(table) // 12), center=True, min_periods=1).mean()
                    ax.plot(table["step"], smooth, color=colour[method], linestyle=style, linewidth=1.2)
            ax.set_title(label(method))
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        for ax in axes.flat[len(methods) :]:
            ax.set_visible(False)
        figure.supxlabel("step", fontsize=8)
        figure.supylabel("loss (each method's own)", fontsize=8)
        if len(percents) > 1:
            lines = [Line2D([], [], color="#555555", linestyle=styles[p], label=f"{p} %") for p in percents]
            figure.legend(handles=lines, loc="outside upper center", ncols=len(lines))
    return figure


def costs(table: pd.DataFrame) -> Figure:
    """Time and memory of making each model: means over ratios and seeds, lines from the least to the most.

    Args:
        table: as :func:`unsee.results.tables.costs.collect` gives it, of one model.
    """
    methods = order(list(table["method"].unique()))
    colour = colours(methods)
    with rc_context(STYLE):
        figure, axes = grid(1, 2, 3.0, 0.24 * len(methods) + 0.5, sharey=True)
        for ax, column, title in zip(
            axes[0], ("seconds", "peak_memory_mb"), ("seconds", "peak memory (MB)"), strict=True
        ):
            found = table.groupby("method", observed=True)[column].agg(["mean", "min", "max"]).reindex(methods)
            y = np.arange(len(methods))
            ax.barh(y, found["mean"], color=[colour[name] for name in methods], height=0.65)
            ends = np.array([found["mean"] - found["min"], found["max"] - found["mean"]])
            ax.errorbar(found["mean"], y, xerr=np.nan_to_num(ends), fmt="none", ecolor="#444444", elinewidth=0.8)
            for where, value, far in zip(y, found["mean"], found["max"], strict=True):
                if not np.isnan(value):
                    ax.annotate(f"{value:,.0f}", (far, where), (3, 0), textcoords="offset points", va="center")
            ax.set(title=title)
            ax.set_yticks(y, [label(name) for name in methods])
            ax.grid(False, axis="y")
            ax.margins(x=0.15)
        axes[0][0].invert_yaxis()
    return figure


def portraits(people: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> Figure:
    """Forgotten people: the portrait, a question with it, the right answer and what each model says.

    Args:
        people: of each ``name``, ``picture`` (bytes of an encoded image, or None), ``question``, ``reference`` and ``answers``,
            a text by method. Without people the figure says so.
        methods: whose answers are shown, in order.
    """
    colour = colours(methods)
    row, top = 0.48, 1.25  # inches
    with rc_context(STYLE):
        if not people:
            figure = Figure(figsize=(2.8, top))
            figure.text(0.5, 0.5, "No forgotten person has an open question.", ha="center", va="center")
            return figure
        figure = Figure(figsize=(2.8 * len(people), top + row * (len(methods) + 2)))
        cells = figure.add_gridspec(
            2, len(people), height_ratios=[top - 0.2, row * (len(methods) + 2)], hspace=0.02, wspace=0.06, top=0.95
        )
        for column, person in enumerate(people):
            ax = figure.add_subplot(cells[0, column])
            if person["picture"] is None:
                ax.text(0.5, 0.5, "(no picture)", ha="center", va="center", color="#555555", transform=ax.transAxes)
                ax.set_box_aspect(1)
            else:
                ax.imshow(decode(person["picture"], f"picture of {person['name']}"))
            ax.axis("off")
            ax.set_anchor("W")
            ax.set_title(person["name"], loc="left", fontweight="bold")
            ax = figure.add_subplot(cells[1, column])
            ax.axis("off")
            ax.set(xlim=(0, 1), ylim=(len(methods) + 2, 0))
            ax.text(0, 0.35, _wrapped(person["question"]), style="italic", va="top", fontsize=7)
            said = [("truth", person["reference"], "#ffffff")]
            said += [(label(name), person["answers"][name] or "(nothing)", colour[name]) for name in methods]
            for i, (head, text, shade) in enumerate(said, start=1):
                ax.plot([0.01, 0.01], [i + 0.06, i + 0.88], color=shade, linewidth=3)
                ax.text(0.04, i + 0.04, head, fontsize=6, color="#555555", va="top")
                ax.text(0.04, i + 0.3, _wrapped(text), fontsize=7, va="top")
    return figure


def agreement(table: pd.DataFrame) -> Figure:
    """Kendall's tau between metrics, as a matrix of colours and numbers.

    Args:
        table: as :func:`unsee.results.statistics.agreement.agreement` gives it.
    """
    names = list(dict.fromkeys(table["metric"]))
    tau = table.pivot(index="metric", columns="other", values="tau").loc[names, names].to_numpy()
    with rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(0.34 * len(names) + 1.8, 0.3 * len(names) + 1.4), layout="constrained")
        ax = figure.subplots()
        image = ax.imshow(tau, cmap="PuOr", vmin=-1, vmax=1, aspect="auto")
        for i, j in np.ndindex(tau.shape):
            text = "–" if np.isnan(tau[i, j]) else f"{tau[i, j]:.1f}".replace("-", "\N{MINUS SIGN}")
            shade = "white" if abs(tau[i, j]) > 0.7 else "black"
            ax.text(j, i, text, ha="center", va="center", fontsize=6, color=shade)
        ax.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(names)), names)
        ax.spines[:].set_visible(False)
        figure.colorbar(image, label="Kendall's tau", shrink=0.6)
    return figure


def _wrapped(text: str) -> str:
    """Two short lines at most; Chinese, Japanese and Korean characters are twice as wide as letters."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    width = 38 * len(text) // (len(text) + wide) if wide else 38
    return "\n".join(textwrap.wrap(text, width, max_lines=2, placeholder=" …"))


def _pick(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


def _interval(part: pd.DataFrame, scale: float) -> tuple[float, float, float]:
    if part.empty:
        return (float("nan"),) * 3
    people = pd.factorize(part["person_id"])[0]
    found = clustered_interval(part["value"].to_numpy() * scale, people, seeds=part["seed"].to_numpy())
    return found.mean, found.low, found.high
