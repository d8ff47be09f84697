"""Models that cannot be compared fairly: destroyed by unlearning, or hardly touched by it.

A destroyed model forgets everything, and one that has hardly begun keeps everything. Neither says what its method can do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from unsee.results.columns import REFERENCES
from unsee.results.statistics import jackknife
from unsee.results.statistics.differences import one_column_per_method

#: The share of vanilla's utility below which a model is destroyed. Attacks have a stricter one of their own, robustness.utility.
DESTROYED = 0.5
#: A model has hardly begun where its forget classification is fewer points below vanilla's than this.
HARDLY_BEGUN = 10.0

_CLASSIFICATION = ("classification", "accuracy")


@dataclass(frozen=True)
class Extent:
    """How far unlearning went in one model.

    Attributes:
        utility_of_vanilla: its utility as a share of vanilla's; NaN where the protocol does not measure what utility is made of.
        points_below_vanilla: vanilla's accuracy in classification in the set ``forget``, with image and with text, minus the model's,
            in percentage points; NaN without classification.
    """

    utility_of_vanilla: float
    points_below_vanilla: float

    @property
    def destroyed(self) -> bool:
        return self.utility_of_vanilla < DESTROYED

    @property
    def hardly_begun(self) -> bool:
        return self.points_below_vanilla < HARDLY_BEGUN

    @property
    def mark(self) -> str:
        """What a table says beside the model's name; empty for most."""
        return ", ".join(
            text for text, marked in (("destroyed", self.destroyed), ("hardly begun", self.hardly_begun)) if marked
        )


#: The extent of each unlearned model, by base model, forget ratio and method.
Extents = Mapping[tuple[str, int, str], Extent]


def extents(items: pd.DataFrame) -> Extents:
    """The extent of every unlearned model, over all seeds.

    Args:
        items: one row for each run, question and metric, see :func:`unsee.results.tables.scores.gather`.

    Raises:
        ValueError: a method lacks a question that another one answered.
    """
    return {
        (model, percent, method): extent
        for model, percent, table in one_column_per_method(items)
        for method, extent in of_ratio(table, [str(name) for name in items["method"].unique() if name in table]).items()
    }


def of_ratio(table: pd.DataFrame, methods: Sequence[str]) -> dict[str, Extent]:
    """The extent of each unlearned model of a table of :func:`~unsee.results.statistics.differences.one_column_per_method`."""
    utility = dict(zip(methods, jackknife.utilities(table, methods), strict=True))
    forget = table[table["set"] == "forget"]
    accuracy = forget.loc[(forget["task"] == _CLASSIFICATION[0]) & (forget["metric"] == _CLASSIFICATION[1]), methods]
    points = 100 * accuracy.mean()
    return {
        name: Extent(
            float(utility[name] / utility["vanilla"]) if utility["vanilla"] > 0 else float("nan"),
            float(points["vanilla"] - points[name]),
        )
        for name in methods
        if name not in REFERENCES
    }


def sentences(extents: Extents) -> Iterator[str]:
    """Which models are destroyed and which have hardly begun, a sentence for each, with the number behind it."""
    rows = [(f"`{method}` at {percent} %", extent) for (_, percent, method), extent in extents.items()]
    destroyed = [f"{name} ({100 * of.utility_of_vanilla:.0f} %)" for name, of in rows if of.destroyed]
    hardly = [f"{name} ({of.points_below_vanilla:.1f} points)" for name, of in rows if of.hardly_begun]
    if destroyed:
        yield (
            f"Destroyed, with less than {100 * DESTROYED:g} % of vanilla's utility left, and therefore never the best: "
            f"{', '.join(destroyed)}."
        )
    if hardly:
        yield (
            f"Hardly begun, with forget classification less than {HARDLY_BEGUN:g} points below vanilla's (mean of image and text): "
            f"{', '.join(hardly)}."
        )
