"""The main results in sentences, for the top of the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
        method: the entry's name.
        forgetting: with its interval, as text.
        how: the part of its update and the utility that is kept, as text.
        better_than: labels of the methods that it is better than by the paired test, as a list in words.
        unclear: labels of the other methods, likewise.
    """

    percent: int
    method: str
    forgetting: str
    how: str
    better_than: str
    unclear: str


def best_at_equal_utility(ranking: pd.DataFrame) -> Iterator[Best]:
    """The best method of each ratio that has methods.

    Args:
        ranking: of one model, see :func:`unsee.results.statistics.trade_off.trade_off`.
    """
    for percent, part in ranking.groupby("forget_percent", sort=False):
        first, *others = part.to_dict("records")
        ends = (first["forgetting_low"], first["forgetting_high"])
        yield Best(
            percent=int(str(percent)),
            method=first["method"],
            forgetting=f"{first['forgetting']:.2f}"
            + ("" if pd.isna(ends[0]) else f" ({ends[0]:.2f} to {ends[1]:.2f})"),
            how=f"{100 * first['scale']:.0f} % of its update, {100 * first['utility_kept']:.0f} % of vanilla's utility",
            better_than=in_words([label_of(row["method"]) for row in others if row["p_against_best"] < LEVEL]),
            unclear=in_words([label_of(row["method"]) for row in others if not row["p_against_best"] < LEVEL]),
        )


def as_they_stand(part: pd.DataFrame) -> str:
    """The result of the models with their whole update at one ratio, in a few sentences.

    Args:
        part: the rows of one ratio, see :func:`unsee.results.tables.summary.summary`.
    """
    percent = part["forget_percent"].iloc[0]
    unlearned = part[~part["method"].isin(REFERENCES)].sort_values("combined", ascending=False, kind="stable")
    if unlearned.empty:
        return f"At {percent} % there is no method to compare."
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
    return text
