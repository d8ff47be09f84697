"""Write the comparison of methods at equal utility: curves, ranking and figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from unsee.core.files import write_text
from unsee.results.columns import RunKey
from unsee.results.page.drawing import save
from unsee.results.page.figures_trade_off import equal_utility
from unsee.results.statistics import trade_off
from unsee.results.statistics.alike import Sees
from unsee.results.tables.files import to_markdown, write_csv
from unsee.results.tables.remarks import as_note, remarks


def write_trade_off(
    folder: Path,
    *,
    items: pd.DataFrame,
    scaled: Mapping[RunKey, pd.DataFrame],
    utility: float,
    methods: Sequence[str],
    sees: Sees,
    people_note: str = "",
) -> None:
    """Write trade_off.csv, ranking.csv, ranking.md and the figure equal_utility.

    Args:
        folder: where they are written; the figure goes to ``figures`` in it.
        items, scaled, methods, sees: as for :func:`unsee.results.statistics.trade_off.trade_off`.
        utility: the share of vanilla's utility at which methods are compared.
        people_note: what the tables say about the people: what the ratio of a named request means, who is held out.
    """
    curves, ranking = trade_off.trade_off(items, scaled, utility, methods, sees)
    write_csv(curves, folder / "trade_off.csv")
    write_csv(ranking, folder / "ranking.csv")
    note = as_note(remarks(items, people_note)) + trade_off.note(utility, items["seed"].nunique())
    write_text(folder / "ranking.md", to_markdown(ranking, note))
    save(equal_utility(curves, utility), folder / "figures", "equal_utility")
