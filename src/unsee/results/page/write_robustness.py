"""Write the comparison of attacked models: table, Markdown, LaTeX and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from unsee.core.files import write_text
from unsee.results.page import figures_robustness
from unsee.results.page.drawing import save
from unsee.results.statistics.alike import Sees
from unsee.results.statistics.attacked import AttackedRun
from unsee.results.statistics.robustness import robustness
from unsee.results.tables import robustness_latex
from unsee.results.tables.files import write_csv
from unsee.results.tables.latex import under_comment
from unsee.results.tables.remarks import as_note, remarks
from unsee.results.tables.robustness import to_markdown


def write_robustness(
    folder: Path,
    *,
    items: pd.DataFrame,
    attacked: Mapping[AttackedRun, pd.DataFrame],
    summary: pd.DataFrame,
    share: float,
    methods: Sequence[str],
    attacks: Sequence[str],
    sees: Sees | None = None,
    people_note: str = "",
) -> None:
    """Write robustness.csv, robustness.md, robustness.tex and the figures robustness and relearning.

    Args:
        folder: where they are written; figures go to ``figures`` in it.
        items, attacked, summary, share, methods, attacks, sees: as for
            :func:`unsee.results.statistics.robustness.robustness`.
        people_note: what the tables say about the people: what the ratio of a named request means, who is held out.
    """
    table = robustness(items, attacked, summary, share, methods=methods, attacks=attacks, sees=sees)
    write_csv(table, folder / "robustness.csv")
    write_text(folder / "robustness.md", as_note(remarks(items, people_note)) + to_markdown(table))
    tex = robustness_latex.to_latex(table, share)
    write_text(folder / "robustness.tex", under_comment(tex, people_note))
    save(figures_robustness.heat_map(table), folder / "figures", "robustness")
    save(figures_robustness.relearning(table), folder / "figures", "relearning")
