"""Write the tables that are made of scores.csv and of what training cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from unsee.core.files import write_text
from unsee.results.statistics.alike import Sees
from unsee.results.tables import extremes, knowledge
from unsee.results.tables.ablation import ablation
from unsee.results.tables.costs import TrainedRun, collect
from unsee.results.tables.files import write_csv
from unsee.results.tables.remarks import as_note
from unsee.results.tables.remarks import remarks as remarks_on
from unsee.results.tables.table3 import table3, to_markdown


def write_tables(
    folder: Path,
    *,
    scores: pd.DataFrame,
    items: pd.DataFrame,
    methods: Sequence[str],
    sees: Sees,
    runs: Sequence[TrainedRun],
    statistics: pd.DataFrame,
    people_note: str = "",
) -> None:
    """Write table3.csv, table3.md, knowledge.csv, knowledge.md, ablation.csv, costs.csv and dataset_statistics.csv.

    Args:
        folder: where they are written.
        scores: scores.csv.
        items: scores.parquet.
        methods: the entries of the configuration, in order.
        sees: what each of them sees.
        runs: the rows of costs.csv.
        statistics: the counts of :func:`unsee.benchmarks.statistics.count`.
        people_note: what the tables say about the people: what the ratio of a named request means, who is held out.
    """
    table, gaps = table3(scores, methods), knowledge.knowledge(items)
    reached = extremes.extents(items)
    lines = [*extremes.sentences(reached), *knowledge.sentences(gaps)]
    write_csv(table, folder / "table3.csv")
    remarks = as_note(remarks_on(items, people_note))
    write_text(folder / "table3.md", to_markdown(table, sees, reached, remarks) + knowledge.as_list(lines))
    write_csv(gaps, folder / "knowledge.csv")
    write_text(folder / "knowledge.md", as_note([people_note]) + knowledge.to_markdown(gaps))
    write_csv(ablation(scores, methods), folder / "ablation.csv")
    write_csv(collect(runs), folder / "costs.csv")
    write_csv(statistics, folder / "dataset_statistics.csv")
