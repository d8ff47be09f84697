"""Figures: each a function from tables to a matplotlib figure; one colour and marker a method in all of them."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from matplotlib import rc_context  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import MaxNLocator  # noqa: E402
from PIL import Image  # noqa: E402

from unsee.benchmarks.schema import MODALITIES, SETS  # noqa: E402
from unsee.files import written  # noqa: E402
from unsee.results.intervals import clustered_interval  # noqa: E402
from unsee.results.names import colours, label, markers  # noqa: E402

FORMATS = ("pdf", "svg", "png")
#: (task, metric) of a panel, what its axis is called, and what one is written as.
PANELS = {
    ("classification", "accuracy"): ("classification (%)", 100.0),
    ("generation", "rouge_l"): ("ROUGE-L", 1.0),
    ("cloze", "accuracy"): ("cloze (%)", 100.0),
}
_STYLE: Any = {  # Any: matplotlib types the keys
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
    folder.mkdir(parents=True, exist_ok=True)
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
    with rc_context(_STYLE):
        for extension in FORMATS:
            metadata = dates[extension]
            with written(folder / f"{name}.{extension}") as part:
                figure.savefig(part, format=extension, metadata=metadata, bbox_inches="tight", pad_inches=0.05)


def trade_off(summary: pd.DataFrame) -> Figure:
    """Forgetting against utility, a panel a ratio, with 95 % intervals and lines of equal combined score.

    Args:
        summary: as :func:`unsee.results.summary.summary` gives it, of one model.
    """
    percents = summary["forget_percent"].unique()
    methods = list(summary["method"].unique())
    colour, marker = colours(methods), markers(methods)
    with rc_context(_STYLE):
        figure, axes = _grid(1, len(percents), 2.6, 2.5, sharex=True, sharey=True)
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
        _legend(figure, methods)
    return figure


def ratios(answers: pd.DataFrame) -> Figure:
    """Every set and task over the forget ratios, image and text together, with 95 % intervals by person.

    Args:
        answers: as :func:`unsee.results.scores.gather` gives them, of one model.
    """
    percents = sorted(answers["forget_percent"].unique())
    methods = _order(list(answers["method"].unique()))
    colour, marker = colours(methods), markers(methods)
    shift = 0.7 / len(methods)
    with rc_context(_STYLE):
        figure, axes = _grid(len(SETS), len(PANELS), 2.4, 1.5, sharex=True)
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
        _legend(figure, methods)
    return figure


def modalities(answers: pd.DataFrame) -> Figure:
    """Does it forget in both? What is left of the forgotten people in text (x) and in image (y), by ratio and task.

    Args:
        answers: as :func:`unsee.results.scores.gather` gives them, of one model.
    """
    percents = sorted(answers["forget_percent"].unique())
    methods = _order(list(answers["method"].unique()))
    colour, marker = colours(methods), markers(methods)
    with rc_context(_STYLE):
        figure, axes = _grid(len(percents), len(PANELS), 2.3, 2.2)
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
        _legend(figure, methods)
    return figure


def training(curves: Mapping[tuple[int, str, int], pd.DataFrame]) -> Figure:
    """Loss over steps, a panel a method, a line a ratio and seed.

    Args:
        curves: metrics.parquet (``step``, ``loss``) of each run, by (ratio, method, seed).
    """
    methods = _order(list(dict.fromkeys(method for _, method, _ in curves)))
    percents = sorted({percent for percent, method, _ in curves if method != "vanilla"})
    colour = colours(methods)
    columns = min(4, len(methods))
    styles: dict[int, Any] = dict(zip(percents, ["-", "--", ":", "-."] * len(percents), strict=False))
    with rc_context(_STYLE):
        figure, axes = _grid(-(-len(methods) // columns), columns, 2.0, 1.5)
        for ax, method in zip(axes.flat, methods, strict=False):
            for (percent, name, _), table in sorted(curves.items()):
                if name == method:
                    style = styles.get(percent, "-")
                    ax.plot(table["step"], table["loss"], color=colour[method], linestyle=style, linewidth=0.9)
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
        table: as :func:`unsee.results.costs.collect` gives it, of one model.
    """
    methods = _order(list(table["method"].unique()))
    colour = colours(methods)
    with rc_context(_STYLE):
        figure, axes = _grid(1, 2, 3.0, 0.24 * len(methods) + 0.5, sharey=True)
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
        people: of each ``name``, ``picture`` (bytes of an encoded image), ``question``, ``reference`` and ``answers``, a
            text by method.
        methods: whose answers are shown, in order.
    """
    colour = colours(methods)
    row, top = 0.48, 1.25  # inches
    with rc_context(_STYLE):
        figure = Figure(figsize=(2.8 * len(people), top + row * (len(methods) + 2)))
        grid = figure.add_gridspec(
            2, len(people), height_ratios=[top - 0.2, row * (len(methods) + 2)], hspace=0.02, wspace=0.06, top=0.95
        )
        for column, person in enumerate(people):
            ax = figure.add_subplot(grid[0, column])
            ax.imshow(Image.open(io.BytesIO(person["picture"])).convert("RGB"))
            ax.axis("off")
            ax.set_anchor("W")
            ax.set_title(person["name"], loc="left", fontweight="bold")
            ax = figure.add_subplot(grid[1, column])
            ax.axis("off")
            ax.set(xlim=(0, 1), ylim=(len(methods) + 2, 0))
            ax.text(0, 0.35, _wrapped(person["question"]), style="italic", va="top", fontsize=7)
            said = [("truth", person["reference"], "#ffffff")]
            said += [(label(name), person["answers"][name] or "(nothing)", colour[name]) for name in methods]
            for i, (head, text, shade) in enumerate(said, start=1):
                ax.plot([0.01, 0.01], [i + 0.06, i + 0.88], color=shade, linewidth=3)
                ax.text(0.04, i + 0.04, head, fontsize=6, color="#555555", va="top")
                ax.text(0.04, i + 0.3, _wrapped(text), fontsize=7, va="top", parse_math=False)
    return figure


def agreement(table: pd.DataFrame) -> Figure:
    """Kendall's tau between metrics, as a matrix of colours and numbers.

    Args:
        table: as :func:`unsee.results.agreement.agreement` gives it.
    """
    names = list(dict.fromkeys(table["metric"]))
    tau = table.pivot(index="metric", columns="other", values="tau").loc[names, names].to_numpy()
    with rc_context(_STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(0.34 * len(names) + 1.8, 0.3 * len(names) + 1.4), layout="constrained")
        ax = figure.subplots()
        image = ax.imshow(tau, cmap="PuOr", vmin=-1, vmax=1, aspect="auto")
        for i, j in np.ndindex(tau.shape):
            if not np.isnan(tau[i, j]):
                ax.text(
                    j, i, f"{tau[i, j]:.1f}".replace("-", "\N{MINUS SIGN}"), ha="center", va="center", fontsize=6,
                    color="white" if abs(tau[i, j]) > 0.7 else "black",
                )  # fmt: skip
        ax.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(names)), names)
        ax.spines[:].set_visible(False)
        figure.colorbar(image, label="Kendall's tau", shrink=0.6)
    return figure


def _wrapped(text: str) -> str:
    """Two short lines at most."""
    return "\n".join(textwrap.wrap(text, 36, max_lines=2, placeholder=" …"))


def _grid(rows: int, columns: int, width: float, height: float, **more: Any) -> tuple[Figure, np.ndarray]:
    """A figure with ``rows`` x ``columns`` axes, each about so many inches wide and high."""
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    axes: np.ndarray = figure.subplots(rows, columns, squeeze=False, **more)
    return figure, axes


def _order(methods: Sequence[str]) -> list[str]:
    return (
        list(dict.fromkeys(["vanilla", "retain", *methods])) if {"vanilla", "retain"} <= set(methods) else list(methods)
    )


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


def _legend(figure: Figure, methods: Sequence[str]) -> None:
    columns = max(3, int(figure.get_figwidth()))
    colour, marker = colours(methods), markers(methods)
    handles = [
        Line2D([], [], color=colour[name], marker=marker[name], linestyle="none", label=label(name)) for name in methods
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(methods), columns), handletextpad=0.2)
