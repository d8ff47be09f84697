"""Do two folders hold the same results? One sentence, from the scores.csv of both.

The same processor gives the same bytes. Another one rounds differently, training magnifies it, and its models differ by several points. So
scores are judged by their intervals, models by their scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from unsee.results.columns import RUN, SCORE, is_metric, metric_of, table_metrics
from unsee.results.styles import in_words, label_of

#: A model differs where more than this share of its scores differ by more than their margins. By chance it is a score in twenty, but
#: the scores of one model go up and down together.
MOST_OUTSIDE = 0.2
_KEYS = [*RUN, *SCORE]


class Run(NamedTuple):
    """A model of the results, without the name of its base model."""

    forget_percent: int
    method: str
    seed: int

    def __str__(self) -> str:
        place = f" at {self.forget_percent} %" if self.forget_percent else ""
        return f"{label_of(self.method)}{place}, seed {self.seed}"


@dataclass(frozen=True)
class Verdict:
    """What was compared and what follows.

    Attributes:
        agrees: whether both folders hold the same results, to the last digit or within the margins.
        sentence: the verdict in one sentence.
        table: one row for each score of both folders, see :func:`compare_scores`.
    """

    agrees: bool
    sentence: str
    table: pd.DataFrame


def verdict(first: pd.DataFrame, second: pd.DataFrame, settings: Sequence[str] = ()) -> Verdict:
    """Judge whether two tables of scores are of the same results, on the models that both have.

    Args:
        first, second: the rows of scores.csv, or some of them.
        settings: names of settings that are not the same in both.

    Raises:
        ValueError: they have no score in common.
    """
    table = compare_scores(first, second)
    if table.empty:
        raise ValueError("no score of a model is in both; expected two runs of the same base model")
    models = table.groupby(list(RUN), sort=False)["outside"].agg(["sum", "size"])
    both = f"the {len(table):,} scores of {len(models)} models that both folders have"
    but = f" These settings are not the same: {in_words(settings)}." if settings else ""
    if (table["difference"] == 0).all():
        return Verdict(True, f"Same: {both} are equal to the last digit.{but}", table)
    differing = [
        f"{Run(int(percent), str(method), int(seed))} ({count} of {size} scores)"
        for (_, percent, method, seed), count, size in models.itertuples(name=None)
        if count > MOST_OUTSIDE * size
    ]
    if differing:
        text = f"Differ: {in_words(differing)} differ by more than the margins, of {len(models)} models in both folders.{but}"
        return Verdict(False, text, table)
    inside = len(table) - int(table["outside"].sum())
    text = f"Agree: {inside:,} of {both} differ by no more than their margins, and no model does in more than one score of five."
    return Verdict(True, text + but, table)


def compare_scores(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Compare the scores of the results table that both have, at the same seed.

    The margin of a difference is the root of the sum of squares of half the width of each score's own interval and, for each folder, of
    twice the standard deviation over seeds where a folder has several. The people are the same in both, so that their part of the
    margin is more than enough; it makes up for what few seeds say about the spread between trainings.

    Args:
        first, second: as for :func:`verdict`.

    Returns:
        The keys of a score, ``a``, ``b``, ``difference`` (b minus a), ``margin``, all in the metric's unit, and ``outside``: whether the
        difference is larger than the margin. A score about one person has no interval, and its margin is NaN unless seeds give one.
    """
    spread = (
        pd.concat([_between_seeds(first), _between_seeds(second)]).groupby(_WITHOUT_SEED, observed=True)["sd"].max()
    )
    sides = [_with_half(table) for table in (first, second)]
    table = sides[0].merge(sides[1], on=_KEYS, suffixes=("_a", "_b")).merge(spread, on=_WITHOUT_SEED, how="left")
    of_seeds = 2 * (2 * table["sd"].fillna(0.0)) ** 2
    margin = np.sqrt(table["half_a"] ** 2 + table["half_b"] ** 2 + of_seeds)
    difference = table["value_b"] - table["value_a"]
    return table[_KEYS].assign(
        a=table["value_a"],
        b=table["value_b"],
        difference=difference,
        margin=margin,
        outside=difference.abs() > margin + 1e-6,  # scores.csv has six decimals
    )


def only_in_one(runs: set[Run], others: set[Run]) -> list[str]:
    """What of some runs is not among others: ratios, methods and seeds that are not there at all, then single runs."""
    parts = []
    missing = runs - others
    for name, label in (("method", "method"), ("seed", "seed"), ("forget_percent", "ratio")):
        there = {getattr(run, name) for run in others}
        absent = sorted({getattr(run, name) for run in missing} - there)
        if absent:
            parts.append(f"{label}{'s' if len(absent) > 1 else ''} {', '.join(map(str, absent))}")
            missing = {run for run in missing if getattr(run, name) in there}
    return [*parts, *(f"forget{run.forget_percent}/{run.method}/seed{run.seed}" for run in sorted(missing))]


def runs_of(scores: pd.DataFrame) -> set[Run]:
    """The models of a table of scores."""
    rows = scores[["forget_percent", "method", "seed"]].drop_duplicates()
    return {Run(int(percent), str(method), int(seed)) for percent, method, seed in rows.itertuples(index=False)}


_WITHOUT_SEED = [name for name in _KEYS if name != "seed"]


def of_table(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows whose metric is in the results table."""
    return scores[is_metric(scores, [(metric.task, metric.name) for metric in table_metrics()])]


def _with_half(scores: pd.DataFrame) -> pd.DataFrame:
    scores = of_table(scores)
    return scores[[*_KEYS, "value"]].assign(half=(scores["high"] - scores["low"]) / 2)


def _between_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """The standard deviation of each score over seeds; NaN with one seed."""
    return of_table(scores).groupby(_WITHOUT_SEED, observed=True)["value"].std(ddof=1).rename("sd").reset_index()


def to_text(table: pd.DataFrame) -> str:
    """Rows of :func:`compare_scores` in Markdown, each number with the decimals of its row's metric."""
    rows = []
    for row in table.to_dict("records"):
        metric = metric_of(row["task"], row["metric"])
        model = str(Run(row["forget_percent"], row["method"], row["seed"]))
        score = f"{row['set']}, {row['modality']}, {metric.label}"
        numbers = {name: f"{row[name]:.{metric.decimals}f}" for name in ("a", "b", "difference", "margin")}
        rows.append({"model": model, "score": score, **numbers})
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
