"""Tables as files: CSV with the same bytes on every machine, and Markdown to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from unsee.core.files import atomic_write
from unsee.results.columns import RunKey


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV; equal tables give equal bytes.

    Numbers with a fraction have six decimals, so that the last bits, which differ between machines, are not written.

    Args:
        table: any table; missing values become empty cells.
        path: the file.
    """
    numbers = [name for name in table.columns if pd.api.types.is_float_dtype(table[name])]
    rounded = {name: table[name].astype("float64").round(6) + 0.0 for name in numbers}  # adding 0 turns -0 into 0
    with atomic_write(path) as part:
        table.assign(**rounded).to_csv(part, index=False, float_format="%.6f", lineterminator="\n", encoding="utf-8")


def to_markdown(table: pd.DataFrame, note: str, decimals: str | Sequence[str] = ".3f") -> str:
    """A table in Markdown below a note, with a dash for a missing value.

    Args:
        table: where columns ``x_low`` and ``x_high`` stand beside ``x``, they are shown with it, to two decimals:
            ``0.28 (0.21 to 0.35)``.
        note: what the columns mean.
        decimals: the number format of all columns or of each.
    """
    shown = table[[name for name in table.columns if not name.endswith(("_low", "_high"))]].copy()
    for name in shown.columns:
        if f"{name}_low" in table:
            ends = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
            shown[name] = [_with_interval(*row) for row in ends]
    shown = shown.astype(object).where(shown.notna(), None)
    return f"{note}\n{shown.to_markdown(index=False, floatfmt=decimals, missingval='–')}\n"


def _with_interval(value: float, low: float, high: float) -> str | None:
    if pd.isna(value):
        return None
    return f"{value:.2f}" if pd.isna(low) else f"{value:.2f} ({low:.2f} to {high:.2f})"


def split_by_run(runs: Sequence[RunKey], files: Sequence[str]) -> dict[RunKey, list[Path]]:
    """The files of each run.

    Args:
        runs: the runs.
        files: the same number of files for each run, run by run.
    """
    n = len(files) // len(runs)
    return {run: [Path(file) for file in files[i * n : (i + 1) * n]] for i, run in enumerate(runs)}


def read_tasks(files: Iterable[Path]) -> pd.DataFrame:
    """The rows of all tasks of one run, by question.

    Args:
        files: the predictions or the scores of the run, one file per task.
    """
    tables = [pd.read_parquet(file) for file in files]
    return pd.concat(tables).sort_values("question_id", kind="stable", ignore_index=True)
