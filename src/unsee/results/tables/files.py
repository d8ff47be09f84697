"""Tables as files: CSV with the same bytes on every machine."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from unsee.core.files import atomic_write


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
