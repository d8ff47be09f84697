"""What the tables say, in sentences: for whoever opens the page first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from unsee.results.columns import label
from unsee.results.statistics.differences import BASELINES, LEVEL


@dataclass(frozen=True)
class Best:
    """Which method forgets best at equal utility at a ratio, and whether that is more than chance.

    Attributes:
        percent: the ratio.
        method: the entry's name.
        forgetting: how far it comes, with its interval.
        how: the part of its update, and the utility that is kept.
        better_than: methods that it is better than by the paired test, named.
        unclear: the others, named.
    """

    percent: int
    method: str
    forgetting: str
    how: str
    better_than: str
    unclear: str


def best_at_equal_utility(ranking: pd.DataFrame) -> Iterator[Best]:
    """One a ratio that has methods.

    Args:
        ranking: as :func:`unsee.results.statistics.trade_off.trade_off` gives it, of one model.
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
            better_than=listed([label(row["method"]) for row in others if row["p_against_best"] < LEVEL]),
            unclear=listed([label(row["method"]) for row in others if not row["p_against_best"] < LEVEL]),
        )


def as_they_stand(part: pd.DataFrame) -> str:
    """What the summary's rows of a ratio say of the models at full strength, in a sentence or two.

    Args:
        part: of one ratio, as :func:`unsee.results.tables.summary.summary` gives it.
    """
    percent = part["forget_percent"].iloc[0]
    own = part[~part["method"].isin(BASELINES)].sort_values("combined", ascending=False, kind="stable")
    if own.empty:
        return f"At {percent} % there is no method to compare."
    rows = own.to_dict("records")
    best = rows[0]
    text = (
        f"At {percent} % forgotten, {label(best['method'])} comes nearest to a model that never met the people: combined score "
        f"{best['combined']:.2f} ({best['combined_low']:.2f} to {best['combined_high']:.2f}), forgetting "
        f"{best['forgetting']:.2f}, utility kept {best['utility_kept']:.2f}."
    )
    clear = [label(row["method"]) for row in rows[1:] if row["p_against_best"] < LEVEL]
    unclear = [label(row["method"]) for row in rows[1:] if not row["p_against_best"] < LEVEL]
    if unclear:
        text += f" It cannot be told from {listed(unclear)} with so few people."
    if clear:
        text += f" It is clearly better than {listed(clear)} (p < {LEVEL:g}, Holm-corrected)."
    if best["over_unlearned"]:
        text += (
            f" It over-unlearns in {best['over_unlearned']:.0f} of 12 scores: below what the retain-only model guesses."
        )
    return text


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them; nothing for none."""
    return "".join(names) if len(names) < 2 else f"{', '.join(names[:-1])} and {names[-1]}"
