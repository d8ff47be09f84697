"""The rows of a measurement, printed as a table and written as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes:
        name: what was measured.
        value: the number.
        unit: its unit.
        baseline: name of the row that it is compared with, measured in the same run; empty without one.
        ratio: its value divided by the baseline's; ``None`` without one.
    """

    name: str
    value: float
    unit: str
    baseline: str = ""
    ratio: float | None = None


class Table:
    """Rows in the order of measurement; each is printed at once."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, name: str, value: float, unit: str, *, over: str = "") -> Row:
        """Add a row and print it.

        Args:
            over: name of the row to compare with.

        Raises:
            KeyError: no row has the name ``over``.
        """
        ratio = value / self[over].value if over else None
        row = Row(name, value, unit, over, ratio)
        self.rows.append(row)
        compared = f"   {ratio:8.2f} x {over}" if ratio is not None else ""
        print(f"{name:<58}{value:>12.4g} {unit:<14}{compared}".rstrip(), flush=True)
        return row

    def __getitem__(self, name: str) -> Row:
        return {row.name: row for row in self.rows}[name]

    def write(self, path: Path) -> None:
        """Write the columns ``name, value, unit, baseline, ratio``."""
        write(self.rows, path)


def write(rows: Iterable[Row], path: Path) -> None:
    """See :meth:`Table.write`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([field.name for field in fields(Row)])
        out.writerows(["" if cell is None else cell for cell in astuple(row)] for row in rows)


def exponent(sizes: Iterable[float], costs: Iterable[float]) -> float:
    """The least-squares slope of log cost over log size: 1 for linear growth, 2 for quadratic growth."""
    import numpy as np

    return float(np.polyfit(np.log(list(sizes)), np.log(list(costs)), 1)[0])
