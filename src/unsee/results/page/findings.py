"""The main results in sentences, for the top of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unsee.results.columns import REFERENCES
from unsee.results.statistics.differences import LEVEL
from unsee.results.styles import in_words, label_of
from unsee.results.tables.summary import compared_scores


@dataclass(frozen=True)
class Best:
    """The method that forgets best at equal utility at one ratio.

    Attributes:
        percent: the ratio.
        method: the entry's name; empty where every method stopped early, and then the texts about it are empty too.
        forgetting: with its interval, as text.
        how: the part of its update and the utility that is kept, as text.
        better_than: labels of the methods that it is better than by the paired test, as a list in words.
        unclear: labels of the other methods, likewise.
        not_compared: labels of the methods that stopped early, each with what it had forgotten and kept, likewise.
    """

    percent: int
    method: str
    forgetting: str
    how: str
    better_than: str
    unclear: str
    not_compared: str


def best_at_equal_utility(ranking: pd.DataFrame) -> Iterator[Best]:
    """The best method of each ratio that has methods.

    Args:
        ranking: of one model, see :func:`unsee.results.statistics.trade_off.trade_off`.
    """
    for percent, part in ranking.groupby("forget_percent", sort=False):
        rows = part.to_dict("records")
        early = [
            f"{label_of(row['method'])} (forgets {row['forgetting']:.2f}, keeps {100 * row['utility_kept']:.0f} %)"
            for row in rows
            if row["stopped_early"]
        ]
        compared = [row for row in rows if not row["stopped_early"]]
        yield Best(int(str(percent)), *(_best(*compared) if compared else ("", "", "", "", "")), in_words(early))


def _best(first: Mapping[Any, Any], *others: Mapping[Any, Any]) -> tuple[str, str, str, str, str]:
    """The texts about the best method, from its row of the ranking and those of the methods it is compared with."""
    low, high = first["forgetting_low"], first["forgetting_high"]
    ends = "" if pd.isna(low) else f" ({low:.2f} to {high:.2f})"
    return (
        first["method"],
        f"{first['forgetting']:.2f}{ends}",
        f"{100 * first['scale']:.0f} % of its update, {100 * first['utility_kept']:.0f} % of vanilla's utility",
        in_words([label_of(row["method"]) for row in others if row["p_against_best"] < LEVEL]),
        in_words([label_of(row["method"]) for row in others if not row["p_against_best"] < LEVEL]),
    )


def as_they_stand(part: pd.DataFrame) -> str:
    """The result of the models with their whole update at one ratio, in a few sentences.

    Args:
        part: the rows of one ratio, see :func:`unsee.results.tables.summary.summary`.
    """
    percent = part["forget_percent"].iloc[0]
    all_methods = part[~part["method"].isin(REFERENCES)].sort_values("combined", ascending=False, kind="stable")
    destroyed = all_methods["destroyed"].astype(bool)
    unlearned = all_methods[~destroyed]
    wrecks = ""
    if destroyed.any():
        names = [
            f"{label_of(row['method'])} ({100 * row['utility_of_vanilla']:.0f} % of vanilla's utility)"
            for row in all_methods[destroyed].to_dict("records")
        ]
        wrecks = f" Destroyed, and not compared: {in_words(names)}."
    if unlearned.empty:
        return f"At {percent} % there is no method to compare.{wrecks}"
    rows = unlearned.to_dict("records")
    best = rows[0]
    text = (
        f"At {percent} % forgotten, {label_of(best['method'])} comes nearest to a model that never met the people: combined score "
        f"{best['combined']:.2f} ({best['combined_low']:.2f} to {best['combined_high']:.2f}), forgetting "
        f"{best['forgetting']:.2f}, utility kept {best['utility_kept']:.2f}."
    )
    clear = [label_of(row["method"]) for row in rows[1:] if row["p_against_best"] < LEVEL]
    unclear = [label_of(row["method"]) for row in rows[1:] if not row["p_against_best"] < LEVEL]
    if unclear:
        text += f" It is not clearly better than {in_words(unclear)}: there are too few people."
    if clear:
        text += f" It is clearly better than {in_words(clear)} (p < {LEVEL:g}, Holm-corrected)."
    if best["over_unlearned"]:
        text += (
            f" It over-unlearns in {best['over_unlearned']:.0f} of {compared_scores()} scores: below what the retain-only model "
            "guesses."
        )
    if pairs := [f"{label_of(row['method'])} ({row['sees']})" for row in rows if row["method"] == row["best_alike"]]:
        text += f" Best among methods that see the same: {in_words(pairs)}."
    return text + wrecks
