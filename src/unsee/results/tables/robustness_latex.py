"""The robustness table in LaTeX (robustness.tex): the excess of each method under each attack."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from unsee.results.styles import attack_label
from unsee.results.tables.latex import escape, render
from unsee.results.tables.robustness import LOST, attack_states, combined, heading_of, two_decimals

_TEMPLATE = r"""% Needs booktabs. Excess: what an attack brings back of the forgotten people, beyond what it gives the retain-only model;
% 0 to 1, combined over tasks, with 95 % intervals clustered by person. Bold: the method recovers (clear of 0 after Holm's
% correction over methods and variants, and above the attacked retain-only model). Dagger: it only returns to the
% retain-only model's score. Double dagger: vanilla is not clear of the retain-only model, so there is nothing to forget.
% Destroyed: less than << share >>\,\% of vanilla's utility is left; never bold. Diverged: not finite under the attack.
\begin{tabular}{<< alignment >>}
\toprule
<< headings | join(" & ") >> \\
<% for percent, rows in ratios %>
\midrule
<% if several %>
\multicolumn{<< headings | length >>}{l}{<< percent >>\,\% forgotten} \\
<% endif %>
<% for cells in rows %>
<< cells | join(" & ") >> \\
<% endfor %>
<% endfor %>
\bottomrule
\end{tabular}
"""
_MARKED = {"recovers": r"$\mathbf{%s}$", "returns": r"$%s^\dagger$", "nothing to forget": r"$%s^\ddagger$"}


def to_latex(table: pd.DataFrame, share: float) -> str:
    """A tabular in the style of booktabs, under a comment on how to read it: a row for each attack, a column for each method.

    Args:
        table: the table of :func:`unsee.results.statistics.robustness.robustness`.
        share: of vanilla's utility, 0 to 1, below which a method is destroyed.
    """
    rows = combined(table)
    rows = rows[rows["method"] != "retain"]
    methods = list(rows["method"].unique())
    ratios = [(percent, part) for percent, part in rows.groupby("forget_percent", sort=True)]
    several = len(ratios) > 1
    # With several ratios a method may be destroyed at one of them only, so that its cells say it.
    headings = [heading_of(rows.assign(destroyed=rows["destroyed"] & (not several)), name) for name in methods]
    return render(
        _TEMPLATE,
        share=f"{100 * share:g}",
        alignment="l" + "r" * len(methods),
        headings=["Attack", *map(escape, headings)],
        several=several,
        ratios=[(percent, list(_rows(part, methods, several))) for percent, part in ratios],
    )


def _rows(part: pd.DataFrame, methods: Sequence[str], several: bool) -> Iterator[list[str]]:
    by_cell = {(row["attack"], row["variant"], row["method"]): row for row in part.to_dict("records")}
    for state in attack_states(part):
        cells = [by_cell.get((*state, name)) for name in methods]
        texts = ["--" if row is None else _cell(row, several) for row in cells]
        yield [escape(attack_label(*state)), *texts]


def _cell(row: Mapping[Hashable, Any], several: bool) -> str:
    if row["verdict"] in LOST:
        return str(row["verdict"])
    if pd.isna(row["excess"]):  # a control where the retain-only model has diverged
        return "--"
    value = _MARKED.get(row["verdict"], "$%s$") % two_decimals(row["excess"])
    if row["destroyed"] and several:
        value += " (destroyed)"
    if pd.isna(row["excess_low"]):
        return value
    return rf"{value} {{\scriptsize $[{two_decimals(row['excess_low'])}, {two_decimals(row['excess_high'])}]$}}"
