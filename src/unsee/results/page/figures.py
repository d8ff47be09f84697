"""The figures of scores, training and costs: each a function from tables to a matplotlib figure."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from unsee.benchmarks.schema import MODALITIES, SETS
from unsee.core.images import decode
from unsee.results.columns import FORGOTTEN, Metric, RunKey, column_of, in_order, table_metrics
from unsee.results.page.drawing import STYLE, grid, legend
from unsee.results.statistics.intervals import Interval, clustered_interval
from unsee.results.styles import colours_of, label_of, markers_of, size_of


def ratios(items: pd.DataFrame) -> Figure:
    """Each score of the results table over the forget ratios, image and text together, with 95 % intervals by person.

    Args:
        items: the table of :func:`unsee.results.tables.scores.gather`, of one model.
    """
    percents = sorted(items["forget_percent"].unique())
    methods = in_order(items["method"].tolist())
    metrics = table_metrics()
    with rc_context(STYLE):
        figure, axes = grid(len(SETS), len(metrics), 2.4, 1.5, sharex=True)
        for i, group in enumerate(SETS):
            for j, metric in enumerate(metrics):
                ax = axes[i][j]
                part = _rows(items, set=group, task=metric.task, metric=metric.name)
                _over_ratios(ax, part, percents, methods, metric)
                if not i:
                    ax.set_title(metric.label_with_unit)
                if not j:
                    aim = "aim: retain-only" if group in FORGOTTEN else "higher is better"
                    ax.set_ylabel(f"{group}\n({aim})")
        figure.supxlabel("people forgotten", fontsize=8)
        legend(figure, methods)
    return figure


def _over_ratios(ax: Axes, part: pd.DataFrame, percents: Sequence[int], methods: Sequence[str], metric: Metric) -> None:
    """One panel of :func:`ratios`: the methods stand side by side at each ratio."""
    colours, markers = colours_of(methods), markers_of(methods)
    shift = 0.7 / len(methods)
    for k, method in enumerate(methods):
        of_method = _rows(part, method=method)
        intervals = [_interval(_rows(of_method, forget_percent=percent), metric) for percent in percents]
        mean, low, high = np.array([(one.mean, one.low, one.high) for one in intervals]).T
        ax.errorbar(
            np.arange(len(percents)) + (k - (len(methods) - 1) / 2) * shift,
            mean,
            yerr=np.nan_to_num(np.array([mean - low, high - mean])),
            color=colours[method],
            marker=markers[method],
            markersize=3.5,
            elinewidth=0.8,
            linewidth=0.7,
        )
    ax.set_ylim(-0.03 * metric.scale, 1.03 * metric.scale)
    ax.set_xlim(-0.5, len(percents) - 0.5)
    ax.set_xticks(range(len(percents)), [f"{percent} %" for percent in percents])
    ax.grid(False, axis="x")


def modalities(items: pd.DataFrame) -> Figure:
    """What is left of the forgotten people in text (x) and in image (y), for each ratio and score of the results table.

    Args:
        items: the table of :func:`unsee.results.tables.scores.gather`, of one model.
    """
    percents = sorted(items["forget_percent"].unique())
    methods = in_order(items["method"].tolist())
    metrics = table_metrics()
    with rc_context(STYLE):
        figure, axes = grid(len(percents), len(metrics), 2.3, 2.2)
        for i, percent in enumerate(percents):
            for j, metric in enumerate(metrics):
                ax = axes[i][j]
                part = _rows(items, set="forget", task=metric.task, metric=metric.name, forget_percent=percent)
                _text_and_image(ax, part, methods, metric)
                title = metric.label_with_unit
                ax.set_title(title if len(percents) == 1 else f"{title}, {percent} % forgotten")
        legend(figure, methods)
    return figure


def _text_and_image(ax: Axes, part: pd.DataFrame, methods: Sequence[str], metric: Metric) -> None:
    """One panel of :func:`modalities`."""
    colours, markers = colours_of(methods), markers_of(methods)
    scale = metric.scale
    ax.plot([0, scale], [0, scale], color="#cccccc", linewidth=0.8, zorder=0)
    for method in methods:
        of_method = _rows(part, method=method)
        image, text = (_interval(_rows(of_method, modality=modality), metric) for modality in MODALITIES)
        ax.errorbar(
            text.mean,
            image.mean,
            xerr=np.nan_to_num(np.abs([[text.low - text.mean], [text.high - text.mean]])),
            yerr=np.nan_to_num(np.abs([[image.low - image.mean], [image.high - image.mean]])),
            color=colours[method],
            marker=markers[method],
            markersize=size_of(markers[method]),
            elinewidth=0.6,
        )
    ends, ticks = (-0.06 * scale, 1.06 * scale), np.linspace(0, scale, 5)
    ax.set(xlim=ends, ylim=ends, xticks=ticks, yticks=ticks, aspect="equal")
    ax.set(xlabel="asked in text", ylabel="asked with the picture")


def training(curves: Mapping[RunKey, pd.DataFrame]) -> Figure:
    """The loss of each run over steps: a panel for each method, a line for each ratio and seed.

    A line is the running mean over a twelfth of the steps; single steps are pale behind it.

    Args:
        curves: ``step`` and ``loss`` of each run (metrics.parquet); runs without a step are left out.
    """
    curves = {run: table for run, table in curves.items() if len(table)}
    methods = in_order([method for _, method, _ in curves])
    percents = sorted({percent for percent, _, _ in curves if percent})
    colours = colours_of(methods)
    columns = min(4, len(methods))
    styles: dict[int, Any] = dict(zip(percents, ["-", "--", ":", "-."] * len(percents), strict=False))
    with rc_context(STYLE):
        figure, axes = grid(-(-len(methods) // columns), columns, 2.0, 1.5)
        for ax, method in zip(axes.flat, methods, strict=False):
            for (percent, name, _), table in sorted(curves.items()):
                if name == method:
                    ax.plot(table["step"], table["loss"], color=colours[method], linewidth=0.4, alpha=0.25)
                    # The loss differs more between batches than between epochs.
                    smooth = table["loss"].rolling(max(1, len(table) // 12), center=True, min_periods=1).mean()
                    style = styles.get(percent, "-")
                    ax.plot(table["step"], smooth, color=colours[method], linestyle=style, linewidth=1.2)
            ax.set_title(label_of(method))
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        for ax in axes.flat[len(methods) :]:
            ax.set_visible(False)
        figure.supxlabel("step", fontsize=8)
        figure.supylabel("loss (not comparable between methods)", fontsize=8)
        if len(percents) > 1:
            lines = [Line2D([], [], color="#555555", linestyle=styles[p], label=f"{p} %") for p in percents]
            figure.legend(handles=lines, loc="outside upper center", ncols=len(lines))
    return figure


def costs(table: pd.DataFrame) -> Figure:
    """Time and memory of training each model: bars are means over ratios and seeds, lines go from the least to the most.

    Args:
        table: the table of :func:`unsee.results.tables.costs.collect`, of one model. Models without a time are left out.
    """
    table = table[table["seconds"].notna()]
    methods = in_order(table["method"].tolist())
    colours = colours_of(methods)
    with rc_context(STYLE):
        figure, axes = grid(1, 2, 3.0, 0.24 * len(methods) + 0.5, sharey=True)
        for ax, column in zip(axes[0], ("seconds", "peak_memory_mb"), strict=True):
            spread = table.groupby("method", observed=True)[column].agg(["mean", "min", "max"]).reindex(methods)
            y = np.arange(len(methods))
            ax.barh(y, spread["mean"], color=[colours[name] for name in methods], height=0.65)
            ends = np.array([spread["mean"] - spread["min"], spread["max"] - spread["mean"]])
            ax.errorbar(spread["mean"], y, xerr=np.nan_to_num(ends), fmt="none", ecolor="#444444", elinewidth=0.8)
            for at, value, end in zip(y, spread["mean"], spread["max"], strict=True):
                if not np.isnan(value):
                    ax.annotate(f"{value:,.0f}", (end, at), (3, 0), textcoords="offset points", va="center")
            ax.set(title=column_of(column).title)
            ax.set_yticks(y, [label_of(name) for name in methods])
            ax.grid(False, axis="y")
            ax.margins(x=0.15)
        axes[0][0].invert_yaxis()
    return figure


def portraits(people: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> Figure:
    """Forgotten people: the portrait, a question with it, the right answer and the answer of each model.

    Args:
        people: ``name``, ``picture`` (bytes of an encoded image, or None), ``question``, ``reference`` and ``answers``, a text by
            method. Without people the figure says that there is none.
        methods: whose answers are shown, in order.
    """
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
            _portrait(figure.add_subplot(cells[0, column]), person)
            _answers(figure.add_subplot(cells[1, column]), person, methods)
    return figure


def _portrait(ax: Axes, person: Mapping[str, Any]) -> None:
    if person["picture"] is None:
        ax.text(0.5, 0.5, "(no picture)", ha="center", va="center", color="#555555", transform=ax.transAxes)
        ax.set_box_aspect(1)
    else:
        ax.imshow(decode(person["picture"], f"picture of {person['name']}"))
    ax.axis("off")
    ax.set_anchor("W")
    ax.set_title(person["name"], loc="left", fontweight="bold")


def _answers(ax: Axes, person: Mapping[str, Any], methods: Sequence[str]) -> None:
    """The question, the right answer and the models' answers, one below the other."""
    colours = colours_of(methods)
    ax.axis("off")
    ax.set(xlim=(0, 1), ylim=(len(methods) + 2, 0))
    ax.text(0, 0.35, _wrapped(person["question"]), style="italic", va="top", fontsize=7)
    answers = [("truth", person["reference"], "#ffffff")]
    answers += [(label_of(name), person["answers"][name] or "(nothing)", colours[name]) for name in methods]
    for i, (heading, text, colour) in enumerate(answers, start=1):
        ax.plot([0.01, 0.01], [i + 0.06, i + 0.88], color=colour, linewidth=3)
        ax.text(0.04, i + 0.04, heading, fontsize=6, color="#555555", va="top")
        ax.text(0.04, i + 0.3, _wrapped(text), fontsize=7, va="top")


def agreement(table: pd.DataFrame) -> Figure:
    """Kendall's tau of every two metrics, as a matrix of colours and numbers.

    Args:
        table: the table of :func:`unsee.results.statistics.agreement.agreement`.
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
    """A text in two short lines at most; Chinese, Japanese and Korean characters count twice."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    width = 38 * len(text) // (len(text) + wide) if wide else 38
    return "\n".join(textwrap.wrap(text, width, max_lines=2, placeholder=" …"))


def _rows(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows with these values in these columns."""
    for name, value in values.items():
        table = table[table[name] == value]
    return table


def _interval(part: pd.DataFrame, metric: Metric) -> Interval:
    """The interval of a mean in the metric's unit; NaN without rows."""
    if part.empty:
        nan = float("nan")
        return Interval(nan, nan, nan, nan, 0, 0.0)
    people = pd.factorize(part["person_id"])[0]
    return clustered_interval(part["value"].to_numpy() * metric.scale, people, seeds=part["seed"].to_numpy())
