"""What methods see, and the comparison of those that see the same, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from unsee.results.statistics.alike import against_best_alike, as_list, at_ratio, legend, of_table

SEES = {
    "a": {5: "forget", 10: "forget, retained pairs"},
    "b": {5: "forget", 10: "forget"},
    "c": {5: "forget, retain-only"},
}


def test_methods_are_compared_with_the_best_that_sees_the_same() -> None:
    # With everybody, then without each of three people.
    values = np.array([[0.5, 0.9, 0.4, 0.3], [0.5, 0.8, 0.3, 0.4], [0.4, 0.9, 0.5, 0.2], [0.6, 1.0, 0.4, 0.3]])
    columns = {"low": 0, "high": 1, "other": 2, "third": 3}
    sees = {"low": "forget", "high": "forget", "other": "forget, retain-only", "third": None}
    rows = against_best_alike(values, columns, sees, np.zeros(3))
    assert rows.keys() == {"low", "high"}, "nothing sees what the others see"
    assert rows["low"]["best_alike"] == rows["high"]["best_alike"] == "high"
    assert np.isnan(rows["high"]["p_against_best_alike"])  # type: ignore[call-overload]
    # The gap is 0.4, and 0.3, 0.5 and 0.4 without one person: its variance is 2/3 * 0.02, and t with two degrees of freedom 3.464.
    assert rows["low"]["p_against_best_alike"] == pytest.approx(1 - 12**0.5 / (2 + 12) ** 0.5)


def test_the_legend_names_ratios_only_where_they_differ() -> None:
    lines = list(legend(SEES))
    assert lines[0] == "`a`: forget (5 %); forget, retained pairs (10 %)"
    assert lines[1:] == ["`b`: forget", "`c`: forget, retain-only"]
    assert as_list(lines).splitlines() == ["", "What each method sees besides vanilla:", "", *(f"- {x}" for x in lines)]
    assert as_list([]) == ""


def test_what_a_table_says_is_read_back() -> None:
    rows = [("vanilla", 5, None), *((name, percent, text) for name, at in SEES.items() for percent, text in at.items())]
    assert of_table(pd.DataFrame(rows, columns=["method", "forget_percent", "sees"])) == SEES
    assert at_ratio(SEES, ["vanilla", "a", "c"], 10) == {"vanilla": None, "a": "forget, retained pairs", "c": None}
