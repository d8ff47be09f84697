"""What stands in every table, in every figure and on the page: keys, metrics, columns, and the order of models.

A metric of :mod:`unsee.evaluation.metrics` is in the tables of all scores and on the page. Its label, and whether it is
a column of the results table, is said here once; tables, figures, LaTeX and the page read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from unsee.benchmarks.schema import SETS
from unsee.evaluation import metrics

#: What names a run beside its model: forget ratio in percent (0: it counts at every ratio), method and seed.
RunKey = tuple[int, str, int]

#: The keys of one run, and of one score of a run.
RUN = ("model", "forget_percent", "method", "seed")
SCORE = ("set", "modality", "task", "metric")
#: The keys of a row of the results table (table3.csv).
TABLE_ROW = ("model", "forget_percent", "modality", "method")

#: The sets of questions about the people to forget, and about all other people.
FORGOTTEN = ("forget", "test")
KEPT = ("retain", "celebrity")

#: The models that no unlearning method made, in the order in which they stand before the methods: without adapters, trained on
#: everybody, trained on everybody but the people to forget.
REFERENCES = ("base", "vanilla", "retain")
#: Their labels.
REFERENCE_LABELS = {"base": "base", "vanilla": "vanilla", "retain": "retain-only"}
#: Those that every method is compared with.
BASELINES = ("vanilla", "retain")


@dataclass(frozen=True)
class Metric(metrics.Metric):
    """A metric of an answer, and where and how it is shown.

    Attributes:
        label: in figures and on the page; by default the name with blanks.
        column: the results table has it as ``{set}_{column}``; empty: it is not in the results table.
        heading: above its column in table3.tex; by default the label.
        forgetting: whether the summary's ``forgetting`` is computed from it.
        agreement: whether agreement.csv compares its order of the runs with that of the other metrics.
    """

    label: str = ""
    column: str = ""
    heading: str = ""
    forgetting: bool = False
    agreement: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label or self.name.replace("_", " "))
        object.__setattr__(self, "heading", self.heading or self.label)

    @property
    def scale(self) -> float:
        """The factor from a value of 0 to 1 to the unit."""
        return 100.0 if self.unit == "%" else 1.0

    @property
    def decimals(self) -> int:
        """How many are printed."""
        return 1 if self.unit == "%" else 3

    @property
    def label_with_unit(self) -> str:
        """The label, with % where that is the unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


_IN_TABLE = {"forgetting": True, "agreement": True}
#: Where metrics are shown other than in the tables of all scores, and their labels, by task and name.
_SHOWN: dict[tuple[str, str], dict[str, Any]] = {
    ("classification", "accuracy"): {
        **{"label": "classification", "column": "classification", "heading": "Class."},
        **_IN_TABLE,
    },
    ("classification", "probability"): {"agreement": True},
    ("classification", "truth_ratio"): {"agreement": True},
    ("generation", "rouge_l"): {"label": "ROUGE-L", "column": "rouge_l", **_IN_TABLE},
    ("generation", "rouge_1"): {"label": "ROUGE-1"},
    ("generation", "rouge_2"): {"label": "ROUGE-2"},
    ("generation", "bleu"): {"label": "BLEU"},
    ("cloze", "accuracy"): {"label": "cloze", "column": "cloze", "heading": "Cloze", **_IN_TABLE},
}
#: Every metric of :mod:`unsee.evaluation.metrics`, in the order of the results table's columns and of the figures' panels. The first
#: metric of a task colours its answers on the page.
METRICS = [Metric(**asdict(metric), **_SHOWN.get((metric.task, metric.name), {})) for metric in metrics.METRICS]


def metric_of(task: str, name: str) -> Metric:
    """The entry of a task and metric.

    Raises:
        ValueError: there is none.
    """
    for metric in METRICS:
        if (metric.task, metric.name) == (task, name):
            return metric
    raise ValueError(f"metric {name!r} of task {task!r} is not in METRICS of evaluation/metrics.py; add an entry there")


def table_metrics() -> list[Metric]:
    """The metrics of the results table, in the order of its columns."""
    return [metric for metric in METRICS if metric.column]


def first_metric_of_each_task() -> dict[str, str]:
    """The name of the metric that colours a task's answers on the page, by task."""
    return {metric.task: metric.name for metric in reversed(METRICS)}


def is_metric(table: pd.DataFrame, keys: Sequence[tuple[str, str]]) -> pd.Series:
    """Which rows are of these (task, metric) pairs."""
    names = table["task"].astype(str) + "/" + table["metric"].astype(str)
    return names.isin([f"{task}/{name}" for task, name in keys])


@dataclass(frozen=True)
class Column:
    """A column of a table on the page and in Markdown.

    Attributes:
        title: above the column; by default the name with blanks.
        kind: ``key`` (text to filter by), ``method`` (a key with the method's colour), ``number``, ``p`` (a p-value), ``warning``
            (a number or a truth value that is marked unless it is 0 or false).
        decimals: of a ``number`` with a fraction; None: those of the row's metric.
    """

    title: str = ""
    kind: Literal["key", "method", "number", "p", "warning"] = "number"
    decimals: int | None = 2


_COLUMNS = {
    "model": Column(kind="key"),
    "forget_percent": Column("forgotten %", "key"),
    "method": Column(kind="method"),
    "against": Column(kind="method"),
    "sees": Column(kind="key"),
    "best_alike": Column("best that sees the same", "method"),
    "seed": Column(kind="key"),
    **{name: Column(kind="key") for name in SCORE},
    "verdict": Column(kind="key"),
    "attack": Column(kind="key"),
    "variant": Column(kind="key"),
    "ahead_before": Column("ahead of retain-only before"),
    "ahead_after": Column("ahead of retain-only after"),
    "destroyed": Column(kind="warning"),
    "hardly_begun": Column(kind="warning"),
    "points_below_vanilla": Column(decimals=1),
    "mark": Column(kind="key"),
    "stage": Column(kind="key"),
    "value": Column(decimals=None),
    "score": Column(decimals=None),
    "score_of_retain": Column("score of retain-only", decimals=None),
    "difference": Column(decimals=None),
    "detectable": Column(decimals=None),
    "p": Column(kind="p"),
    "p_holm": Column("p (Holm)", "p"),
    "p_against_best": Column("p against best", "p"),
    "p_against_best_alike": Column("p against that", "p"),
    "stopped_early": Column("stopped early", "warning"),
    "area_p_against_best": Column("p of area against best", "p"),
    "ks": Column("KS"),
    "ks_p": Column("p of KS", "p"),
    "over_unlearned": Column("over-unlearned", "warning"),
    "scale": Column("part of update"),
    "n_questions": Column("questions"),
    "n_people": Column("people"),
    "n_seeds": Column("seeds"),
    "seconds": Column(decimals=1),
    "peak_memory_mb": Column("peak memory (MB)", decimals=0),
}


def column_of(name: str) -> Column:
    """How a column of any table is shown."""
    for group in SETS:
        for metric in table_metrics():
            if name == f"{group}_{metric.column}":
                return Column(f"{group} {metric.label_with_unit}", decimals=metric.decimals)
    column = _COLUMNS.get(name, Column())
    return Column(column.title or name.replace("_", " "), column.kind, column.decimals)


def in_order(methods: Sequence[str], configured: Sequence[str] = ()) -> list[str]:
    """Methods in the order of rows: the reference models, then as in the configuration, then the rest as they come.

    Args:
        methods: to be ordered; repeats are dropped.
        configured: the entries of the configuration, in order.
    """
    present = set(methods)
    return [name for name in dict.fromkeys([*REFERENCES, *configured, *methods]) if name in present]
