"""The membership table in LaTeX (membership.tex): the AUC of each model by each score."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd

from unsee.membership.scores import SCORES
from unsee.results.columns import REFERENCES
from unsee.results.styles import label_of
from unsee.results.tables.latex import escape, render

_TEMPLATE = r"""% Needs booktabs. AUC: the probability that a training pair of a forgotten person scores higher than one of a person whom no
% model met; 0.5: they cannot be told apart. With 95 % intervals clustered by person. Bold: above the retain-only model, dagger: below
% it, by paired tests, Holm-corrected over methods, at 5 %.
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
_MARKED = {"higher": r"$\mathbf{%s}$", "lower": r"$%s^\dagger$"}


def to_latex(table: pd.DataFrame) -> str:
    """A tabular in the style of booktabs, under a comment on how to read it: a row for each model, a column for each score.

    Args:
        table: the table of :func:`unsee.results.tables.membership.membership`; its rows of all pairs are shown.
    """
    rows = table[table["modality"] == "both"]
    ratios = [(percent, list(_rows(part))) for percent, part in rows.groupby("forget_percent", sort=True)]
    return render(
        _TEMPLATE,
        alignment="l" + "r" * len(SCORES),
        headings=["Method", *map(escape, SCORES.values())],
        several=len(ratios) > 1,
        ratios=ratios,
    )


def _rows(part: pd.DataFrame) -> Iterator[list[str]]:
    for method, of_method in part.groupby("method", sort=False):
        by_score = {row["score"]: row for row in of_method.to_dict("records")}
        yield [escape(label_of(str(method))), *(_cell(by_score[name]) for name in SCORES)]


def _cell(row: Mapping[Hashable, Any]) -> str:
    judged = row["method"] not in REFERENCES
    value = (_MARKED.get(row["minus_retain_verdict"], "$%s$") if judged else "$%s$") % f"{row['auc']:.2f}"
    if pd.isna(row["auc_low"]):
        return value
    return rf"{value} {{\scriptsize $[{row['auc_low']:.2f}, {row['auc_high']:.2f}]$}}"
