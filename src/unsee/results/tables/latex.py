"""The results table in LaTeX (table3.tex), with marks where the paired tests support them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined

from unsee.benchmarks.schema import SETS
from unsee.results.columns import FORGOTTEN, REFERENCES, SCORE, TABLE_ROW, Metric, table_metrics
from unsee.results.statistics.differences import LEVEL, holm, one_column_per_method, paired_interval
from unsee.results.styles import label_of
from unsee.results.tables import extremes

#: A cell of the table: model, ratio, modality, method and column.
Cell = tuple[str, int, str, str, str]

_MARKED = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "over": r"%s$^\dagger$", "": "%s"}
_HEADINGS = {"model": "Model", "forget_percent": "Ratio", "modality": "Modality", "method": "Method"}
_TEMPLATE = r"""% Needs booktabs and multirow. Accuracies in percent, ROUGE-L 0 to 1, means over seeds. Arrows: where better is.
% Bold: better than every other method; underlined: than every other but the best; by paired tests clustered by
% person, Holm-corrected, at 5 %. Dagger: below the retain-only model by the same test (over-unlearned), and no
% candidate for best. Cells without a mark: no difference shown.
% Double dagger at a name: destroyed, less than << destroyed >> % of vanilla's utility, and no candidate. Circle: hardly begun, forget
% classification less than << hardly_begun >> points below vanilla's.
\begin{tabular}{<< alignment >>}
\toprule
<< sets | join(" & ") >> \\
<< headings | join(" & ") >> \\
\midrule
<% for cells, rule in rows %>
<< cells | join(" & ") >> \\
<% if rule %>
<< rule >>
<% endif %>
<% endfor %>
\bottomrule
\end{tabular}
"""


def marks(items: pd.DataFrame, differences: pd.DataFrame, reached: extremes.Extents | None = None) -> dict[Cell, str]:
    """Mark the cells in which a method is the best (``best``), the second best (``second``) or over-unlearned (``over``).

    In ``forget`` and ``test`` lower is better, among the methods that are not below the retain-only model there (``over``); elsewhere
    higher is better. The best method is marked if paired tests against all other candidates, Holm-corrected, find it better than
    each of them; the second best likewise, against those behind it. A destroyed model is no candidate.

    Args:
        items: the table of :func:`unsee.results.tables.scores.gather`.
        differences: the table of :func:`unsee.results.statistics.differences.differences`.
        reached: the extent of each unlearned model.
    """
    destroyed = {place for place, extent in (reached or {}).items() if extent.destroyed}
    marked: dict[Cell, str] = {}
    over = differences[differences["over_unlearned"]]
    below = set(over[["model", "forget_percent", "method", *SCORE]].astype(object).itertuples(index=False, name=None))
    metrics = {(metric.task, metric.name): metric for metric in table_metrics()}
    for model, percent, table in one_column_per_method(items):
        methods = [name for name in items["method"].unique() if name in table and name not in REFERENCES]
        for score, part in table.groupby(list(SCORE), observed=True):
            group, modality, *key = map(str, score)
            if (key[0], key[1]) not in metrics:
                continue
            metric = metrics[key[0], key[1]]
            column = f"{group}_{metric.column}"
            over_here = {name for name in methods if (model, percent, name, *score) in below}
            marked |= {(model, percent, modality, name, column): "over" for name in over_here}
            sign = _sign(group, metric)
            candidates = [n for n in methods if n not in over_here and (model, percent, n) not in destroyed]
            left = sorted(candidates, key=lambda m: -sign * part[m].mean())
            for mark in ("best", "second"):
                if len(left) > 1 and _first_is_better(part, left, sign):
                    marked[model, percent, modality, left[0], column] = mark
                left = left[1:]
    return marked


def to_latex(table: pd.DataFrame, marks: Mapping[Cell, str], reached: extremes.Extents | None = None) -> str:
    """A tabular in the style of booktabs, under a comment on how to read it.

    Args:
        table: the table of :func:`unsee.results.tables.table3.table3`.
        marks: as from :func:`marks`.
        reached: the extent of each unlearned model, for the marks of those that are destroyed or have hardly begun.
    """
    one_model = table["model"].nunique() == 1
    keys = [name for name in TABLE_ROW if name != "model" or not one_model]
    metrics = table_metrics()
    return render(
        _TEMPLATE,
        alignment="l" * len(keys) + "r" * len(metrics) * len(SETS),
        sets=[""] * len(keys) + [_set_heading(group, metrics) for group in SETS],
        headings=[_HEADINGS[name] for name in keys]
        + [_metric_heading(group, metric) for group in SETS for metric in metrics],
        rows=list(_rows(table, keys, marks, reached or {})),
        destroyed=f"{100 * extremes.DESTROYED:g}",
        hardly_begun=f"{extremes.HARDLY_BEGUN:g}",
    )


def render(template: str, **values: object) -> str:
    """Fill a template in: statements are written <% %> and values << >>, because braces and percent signs belong to LaTeX."""
    environment = Environment(
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    return environment.from_string(template).render(values)


def under_comment(latex: str, comment: str) -> str:
    """A table in LaTeX below one line of comment, if there is any."""
    return (f"% {comment}\n" if comment else "") + latex


_ESCAPED = str.maketrans(
    {character: rf"\{character}" for character in "_&%#${}"}
    | {
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)


def escape(text: str) -> str:
    """Text that LaTeX prints as it is, on one line."""
    return " ".join(text.translate(_ESCAPED).split())


def _sign(group: str, metric: Metric) -> float:
    """1 where a higher value is better, -1 where a lower one is."""
    knows = 1.0 if metric.higher_is_better else -1.0
    return -knows if group in FORGOTTEN else knows


def _first_is_better(part: pd.DataFrame, methods: Sequence[str], sign: float) -> bool:
    tests = [paired_interval(part, methods[0], other) for other in methods[1:]]
    p = holm(np.array([test.p_value for test in tests]))
    return bool((p < LEVEL).all() and all(sign * test.mean > 0 for test in tests))


def _set_heading(group: str, metrics: Sequence[Metric]) -> str:
    arrow = r"$\downarrow$" if group in FORGOTTEN else r"$\uparrow$"
    return rf"\multicolumn{{{len(metrics)}}}{{c}}{{{group.capitalize()} {arrow}}}"


def _metric_heading(group: str, metric: Metric) -> str:
    """The heading, with an arrow of its own where the set's arrow points the wrong way for this metric."""
    if metric.higher_is_better:
        return metric.heading
    return metric.heading + (r" $\uparrow$" if group in FORGOTTEN else r" $\downarrow$")


def _rows(
    table: pd.DataFrame, keys: Sequence[str], marks: Mapping[Cell, str], reached: extremes.Extents
) -> Iterator[tuple[list[str], str]]:
    """The cells of each row, and the rule below it: a key that repeats is printed once, over all its rows."""
    rows = table.to_dict("records")
    # For each row the values of the first key, of the first two, ..., which say where a group of rows ends.
    groups = [[tuple(row[name] for name in keys[: i + 1]) for i in range(len(keys) - 1)] for row in rows]
    for at, row in enumerate(rows):
        before = groups[at - 1] if at else None
        behind = groups[at + 1] if at + 1 < len(rows) else None
        cells = []
        for i, name in enumerate(keys[:-1]):
            size = sum(other[i] == groups[at][i] for other in groups)
            text = _key(name, row[name])
            first = before is None or before[i] != groups[at][i]
            cells.append((rf"\multirow[t]{{{size}}}{{*}}{{{text}}}" if size > 1 else text) if first else "")
        extent = reached.get((row["model"], row["forget_percent"], row["method"]))
        cells.append(_key("method", row["method"]) + (_superscripts(extent) if extent else ""))
        place = tuple(row[name] for name in TABLE_ROW)
        for group in SETS:
            for metric in table_metrics():
                column = f"{group}_{metric.column}"
                cells.append(_value(row[column], metric, marks.get((*place, column), "")))
        yield cells, _rule(groups[at], behind)


def _superscripts(extent: extremes.Extent) -> str:
    return (r"$^\ddagger$" if extent.destroyed else "") + (r"$^\circ$" if extent.hardly_begun else "")


def _rule(here: Sequence[tuple[object, ...]], behind: Sequence[tuple[object, ...]] | None) -> str:
    """The rule below a row: across the table where the outermost group ends, else from the key that changes to the last key."""
    if behind is None or here == behind:
        return ""
    changed = next(i for i, group in enumerate(here) if group != behind[i])
    return rf"\cmidrule{{{changed + 1}-{len(here) + 1}}}" if changed else r"\midrule"


def _key(name: str, value: object) -> str:
    if name == "forget_percent":
        return rf"{value}\,\%"
    return escape(label_of(str(value)) if name == "method" else str(value))


def _value(value: float, metric: Metric, mark: str) -> str:
    return "--" if np.isnan(value) else _MARKED[mark] % f"{value:.{metric.decimals}f}"
