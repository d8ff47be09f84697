"""The table as LaTeX, with what the paired tests say of its best cells."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from unsee.benchmarks.schema import SETS
from unsee.results.columns import label
from unsee.results.statistics.differences import BASELINES, FORGOTTEN, LEVEL, holm, one_column_per_method, paired

#: (task, metric) of a column of the table, its name there and its heading here.
_KINDS = {
    ("classification", "accuracy"): ("classification", "Class."),
    ("generation", "rouge_l"): ("rouge_l", "ROUGE-L"),
    ("cloze", "accuracy"): ("cloze", "Cloze"),
}
_CELL = ["set", "modality", "task", "metric"]
_KEYS = ["model", "forget_percent", "modality", "method"]
_MARKED = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "over": r"%s$^\dagger$", "": "%s"}
_NOTE = r"""% Needs booktabs and multirow. Accuracies in percent, ROUGE-L 0 to 1, means over seeds. Arrows: where better is.
% Bold: better than every other method; underlined: than every other but the best; by paired tests clustered by
% person, Holm-corrected, at 5 %. Dagger: below the retain-only model by the same test (over-unlearned), and no
% candidate for best. Cells without a mark: no difference shown.
"""


def marks(items: pd.DataFrame, differences: pd.DataFrame) -> dict[tuple[str, int, str, str, str], str]:
    """``best``, ``second``, ``over`` or nothing, by (model, ratio, modality, method, column of table3).

    Lower is better in ``forget`` and ``test``, among the methods that are not below the retain-only model there
    (``over``); higher is better elsewhere. The best is marked if paired tests against all other candidates, Holm-corrected,
    find it better than each; the second likewise against those behind it.

    Args:
        items: as :func:`unsee.results.tables.scores.gather` gives them.
        differences: as :func:`unsee.results.statistics.differences.differences` gives them.
    """
    found: dict[tuple[str, int, str, str, str], str] = {}
    over = differences[differences["over_unlearned"]]
    below = set(over[["model", "forget_percent", "method", *_CELL]].astype(object).itertuples(index=False, name=None))
    for model, percent, table in one_column_per_method(items):
        methods = [name for name in items["method"].unique() if name in table and name not in BASELINES]
        for cell, part in table.groupby(_CELL, observed=True):
            group, modality, *kind = map(str, cell)
            if tuple(kind) not in _KINDS:
                continue
            column = f"{group}_{_KINDS[kind[0], kind[1]][0]}"
            there = {name for name in methods if (model, percent, name, *cell) in below}
            found |= {(model, percent, modality, name, column): "over" for name in there}
            sign = -1.0 if group in FORGOTTEN else 1.0
            left = sorted((name for name in methods if name not in there), key=lambda name: -sign * part[name].mean())
            for mark in ("best", "second"):
                if len(left) > 1 and _first_is_better(part, left, sign):
                    found[model, percent, modality, left[0], column] = mark
                left = left[1:]
    return found


def _first_is_better(part: pd.DataFrame, methods: Sequence[str], sign: float) -> bool:
    tests = [paired(part, methods[0], other) for other in methods[1:]]
    p = holm(np.array([test.p_value for test in tests]))
    return bool((p < LEVEL).all() and all(sign * test.mean > 0 for test in tests))


def to_latex(table: pd.DataFrame, marks: dict[tuple[str, int, str, str, str], str]) -> str:
    """table3.tex: a tabular in the booktabs style, under a comment on how to read it.

    Args:
        table: as :func:`unsee.results.tables.table3.table3` gives it.
        marks: as :func:`marks` gives them.
    """
    one_model = table["model"].nunique() == 1
    head = ["forget_percent", "modality", "method"] if one_model else _KEYS
    cells = {}
    for group in SETS:
        arrow = r"$\downarrow$" if group in FORGOTTEN else r"$\uparrow$"
        for name, heading in _KINDS.values():
            column = f"{group}_{name}"
            keys = table[_KEYS].itertuples(index=False, name=None)
            shown = [
                _cell(value, name, marks.get((*key, column), ""))
                for key, value in zip(keys, table[column], strict=True)
            ]
            cells[f"{group.capitalize()} {arrow}", heading] = shown
    index = pd.MultiIndex.from_frame(_heads(table)[head], names=[None] * len(head))
    text: str = pd.DataFrame(cells, index=index).style.to_latex(
        hrules=True,
        clines="skip-last;index",
        multicol_align="c",
        multirow_align="t",
        column_format="l" * len(head) + "rrr" * len(SETS),
    )
    # The headings stand in the second row of the head; thin rules, and none before the last.
    headings = " & ".join(_HEADINGS[name] for name in head)
    text = text.replace("\n" + " & " * len(head), f"\n{headings} & ", 2).replace(headings, " & " * (len(head) - 1), 1)
    text = re.sub(r"(\\cline\{[-0-9]+\} ?)+\n\\bottomrule", r"\\bottomrule", text)
    return _NOTE + re.sub(r"\\cline\{1-\d+\}.*", r"\\midrule", text).replace(r"\cline", r"\cmidrule")


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
    """Text that LaTeX prints as it stands, on one line."""
    return " ".join(text.translate(_ESCAPED).split())


_HEADINGS = {"model": "Model", "forget_percent": "Ratio", "modality": "Modality", "method": "Method"}


def _heads(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": [escape(name) for name in table["model"]],
            "forget_percent": [rf"{percent}\,\%" for percent in table["forget_percent"]],
            "modality": table["modality"].to_numpy(),
            "method": [escape(label(name)) for name in table["method"]],
        }
    )


def _cell(value: float, name: str, mark: str) -> str:
    if np.isnan(value):
        return "--"
    return _MARKED[mark] % (f"{value:.3f}" if name == "rouge_l" else f"{value:.1f}")
