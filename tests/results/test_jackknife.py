"""Standard errors over people and seeds: by hand, against a recomputation, and how often intervals hold the true value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unsee.results.statistics.differences import one_column_per_method
from unsee.results.statistics.jackknife import interval, interval_note, measure, standard_error
from unsee.results.tables.scores import gather


def test_the_parts_of_people_and_seeds_by_hand() -> None:
    # People: 1/2 (0.1^2 + 0.1^2) = 0.01, one degree of freedom; seeds: 2/3 (0.3^2 + 0 + 0.3^2) = 0.12, two.
    values = np.array([0.5, 0.4, 0.6, 0.2, 0.5, 0.8])
    error, degrees = standard_error(values, np.zeros(2))
    assert error == pytest.approx(np.sqrt(0.13))
    assert degrees == pytest.approx(0.13**2 / (0.01**2 / 1 + 0.12**2 / 2))
    assert standard_error(values[:3], np.zeros(2)) == (pytest.approx(0.1), 1), "one seed"
    equal = np.array([0.5, 0.4, 0.6, 0.5, 0.5])
    assert standard_error(equal, np.zeros(2)) == (pytest.approx(0.1), 1), "seeds that agree add nothing"


def test_the_rows_leave_out_one_person_or_one_seed(world: Any) -> None:
    items = gather(world.runs, world.questions, world.splits, (10, 20))
    (_, _, table), *_ = one_column_per_method(items)
    methods = ["vanilla", "retain", "zeta", "alpha"]
    measured = measure(table, methods)
    people, seeds = len(measured.groups), sorted(table["seed"].unique())
    assert measured.forgetting.shape == measured.utility.shape == (1 + people + len(seeds), len(methods))
    for i, seed in enumerate(seeds):
        without = measure(table[table["seed"] != seed], methods)
        assert len(without.utility) == 1 + people, "one seed cannot be left out"
        for name in ("forgetting", "utility"):
            assert getattr(measured, name)[1 + people + i] == pytest.approx(getattr(without, name)[0])
    without = measure(table[table["person"] != 0], methods)
    assert measured.utility[1] == pytest.approx(without.utility[0])


@pytest.mark.parametrize("people", [5, 20])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.3])
def test_intervals_hold_the_true_mean(people: int, spread: float) -> None:
    """Scores of people of different knowledge, under models of three seeds that differ by ``spread``; the true mean is 0."""
    draw, n, seeds = np.random.default_rng(people), 800, 3
    values = draw.normal(0, 0.15, (n, people, 1)) + draw.normal(0, spread, (n, 1, seeds))
    values += draw.normal(0, 0.3, (n, people, seeds))
    total, size = values.sum((1, 2))[:, None], people * seeds
    rows = [total / size, (total - values.sum(2)) / (size - seeds), (total - values.sum(1)) / (size - people)]
    table, groups = np.concatenate(rows, axis=1), np.zeros(people)
    covered, without_seeds = (
        np.mean([low <= 0 <= high for low, high in (interval(row[:end], groups) for row in table)])
        for end in (None, 1 + people)
    )
    assert 0.9 < covered < 0.995
    if spread == 0.3:
        assert without_seeds < 0.8, "people alone do not cover the spread between seeds"


def test_the_note_says_whether_seeds_are_in() -> None:
    assert "one training seed: the spread between seeds is missing" in interval_note(1)
    assert "over 3 training seeds" in interval_note(3) and "missing" not in interval_note(3)
