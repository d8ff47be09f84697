"""docs/hyperparameters.md from a recorded table of trials."""

from __future__ import annotations

import io

import pandas as pd
import pytest
import yaml

from tools import tuning_page

RECORDED = """\
model,forget_percent,method,trial,settings,rank,selected,criterion,value,value_low,value_high,p_against_best,tied,forgetting,utility_kept,trials,edge
tiny,5,ga,1,learning_rate 0.0001,2,False,combined,0.123456,0.012345,0.234567,0.500000,True,0.1,0.9,2,
tiny,5,ga,2,learning_rate 0.00044,1,True,combined,0.654321,0.543210,0.765432,,False,0.6,0.7,2,highest learning_rate
tiny,10,ga,1,learning_rate 0.0001,1,True,combined,1.000000,,,,False,1.0,1.0,2,lowest learning_rate
tiny,10,ga,2,learning_rate 0.00044,2,False,combined,0.000400,,,0.001000,False,0.0,1.0,2,
tiny,5,npo,1,"learning_rate 1e-05, level sequence_sum",1,True,combined,0.5,0.4,0.6,,False,0.5,0.5,2,
tiny,5,npo,2,"learning_rate 1e-05, level sequence_mean",2,False,combined,0.4,0.3,0.5,0.02,False,0.5,0.4,2,
"""


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.read_csv(io.StringIO(RECORDED))


def test_each_trial_at_each_ratio_to_three_digits(table: pd.DataFrame) -> None:
    lines = tuning_page.block(table).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    assert rows == [
        ["settings", "5 %", "10 %"],
        ["learning_rate 0.0001", "0.123 (0.0123 to 0.235) ~", "**1**"],
        ["learning_rate 0.00044", "**0.654** (0.543 to 0.765)", "0.0004"],
        ["settings", "5 %"],
        ["learning_rate 1e-05, level sequence_sum", "**0.5** (0.4 to 0.6)"],
        ["learning_rate 1e-05, level sequence_mean", "0.4 (0.3 to 0.5)"],
    ]
    assert "2 trials of each method at each ratio; the criterion is `combined`." in lines


def test_a_method_with_one_trial_is_in_the_table_and_sets_nothing(table: pd.DataFrame) -> None:
    one = table.iloc[[0]].assign(method="prompt", settings="as-set", selected=True, trials=1)
    both = pd.concat([table, one])
    assert "2 trials of each method at each ratio, one of a method that does not train" in tuning_page.block(both)
    assert tuning_page.entries(both) == tuning_page.entries(table)


def test_an_edge_is_said(table: pd.DataFrame) -> None:
    said = [line for line in tuning_page.block(table).splitlines() if "edge" in line]
    assert said == [
        "At 5 % the best is at the edge of the grid (highest learning_rate): widen it.",
        "At 10 % the best is at the edge of the grid (lowest learning_rate): widen it.",
    ]


def test_the_entries_are_values_by_ratio(table: pd.DataFrame) -> None:
    assert yaml.safe_load(tuning_page.entries(table)) == {
        "methods": {
            "ga": {"learning_rate": {5: 0.00044, 10: 0.0001}},
            "npo": {"learning_rate": {5: 1e-05}, "level": {5: "sequence_sum"}},
        }
    }


def test_the_page_has_the_marks_once_and_keeps_the_rest(table: pd.DataFrame) -> None:
    page = tuning_page.PAGE.read_text()
    text = tuning_page.block(table)
    written = tuning_page.with_block(page, text)
    assert text in written
    assert tuning_page.with_block(written, text) == written
    before, after = page.split(tuning_page.START)[0], page.split(tuning_page.END)[1]
    assert written.startswith(before) and written.endswith(after)
