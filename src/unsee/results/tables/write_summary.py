"""Write the comparisons of methods: differences, modalities, scores over seeds, summary and the results table in LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from unsee.core.files import write_text
from unsee.results.statistics.alike import Sees
from unsee.results.statistics.differences import differences
from unsee.results.tables import extremes, knowledge, latex, remarks, summary
from unsee.results.tables import modalities as by_modality
from unsee.results.tables.files import to_markdown, write_csv
from unsee.results.tables.scores import over_seeds
from unsee.results.tables.table3 import table3


def write_summary(
    folder: Path,
    *,
    scores: pd.DataFrame,
    items: pd.DataFrame,
    methods: Sequence[str],
    sees: Sees,
    people_note: str = "",
) -> None:
    """Write differences.csv, modalities.csv, scores_over_seeds.csv, summary.csv, summary.md and table3.tex.

    Args:
        folder: where they are written.
        scores: scores.csv.
        items: scores.parquet, with the likelihoods of options.
        methods: the entries of the configuration, in order.
        sees: what each of them sees.
        people_note: what the tables say about the people: what the ratio of a named request means, who is held out.
    """
    compared = differences(items)
    table = summary.summary(items, compared, methods, sees)
    write_csv(over_seeds(items), folder / "scores_over_seeds.csv")
    write_csv(compared, folder / "differences.csv")
    write_csv(by_modality.modalities(items, methods), folder / "modalities.csv")
    write_csv(table, folder / "summary.csv")
    reached = extremes.extents(items)
    lines = [*extremes.sentences(reached), *knowledge.sentences(knowledge.knowledge(items))]
    note = remarks.as_note(remarks.remarks(items, people_note)) + summary.note(items["seed"].nunique())
    write_text(folder / "summary.md", to_markdown(table, note) + knowledge.as_list(lines))
    tex = latex.to_latex(table3(scores, methods), latex.marks(items, compared, reached), reached)
    write_text(folder / "table3.tex", latex.under_comment(tex, people_note))
