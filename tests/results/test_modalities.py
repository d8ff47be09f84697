"""What a method leaves in each modality, against hand-computed numbers and a regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from unsee.results.tables.modalities import COLUMNS, difference_of_means, modalities


def _items(values: dict[str, dict[str, list[float]]]) -> pd.DataFrame:
    """Cloze items of three people at 10 %: one value a person, for each method and modality."""
    rows: list[dict[str, Any]] = []
    for method, by_modality in values.items():
        for modality, of_people in by_modality.items():
            rows += [
                {
                    **{"model": "m", "forget_percent": 10, "method": method, "seed": 0, "set": "forget"},
                    **{"modality": modality, "task": "cloze", "metric": "accuracy", "person_id": f"p{i}"},
                    **{"question_id": f"{modality}-{i}", "value": value},
                }
                for i, value in enumerate(of_people)
            ]
    return pd.DataFrame(rows)


NOTHING = {"image": [0.0, 0.0, 0.0], "text": [0.0, 0.0, 0.0]}
EVERYTHING = {"image": [1.0, 1.0, 1.0], "text": [1.0, 1.0, 1.0]}


def test_a_method_that_forgets_the_pictures_only() -> None:
    items = _items(
        {
            "vanilla": EVERYTHING,
            "retain": NOTHING,
            "pictures_only": {"image": [0.0, 0.0, 0.0], "text": [1.0, 1.0, 1.0]},
            "both": NOTHING,
        }
    )
    table = modalities(items, ["both", "pictures_only"])
    assert table.columns.tolist() == COLUMNS
    assert table["method"].tolist() == ["vanilla", "both", "pictures_only"]
    rows = table.set_index("method")
    assert rows.loc["pictures_only", ["left_image", "left_text", "difference"]].tolist() == [0.0, 100.0, 100.0]
    # Three people who agree: 2^(1 - 3) by the sign test, twice that for two methods.
    assert rows.loc["pictures_only", ["p", "p_holm"]].tolist() == [0.25, 0.5]
    assert rows.loc["both", ["left_image", "left_text", "difference", "p_holm"]].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert rows.loc["vanilla", ["left_image", "left_text"]].tolist() == [100.0, 100.0]
    assert np.isnan(rows.loc["vanilla", "p_holm"]), "vanilla is a control, not a comparison"


def test_the_verdict_needs_many_people() -> None:
    half = [0.0, 0.0, 0.0, 1.0] * 10
    items = _items(
        {
            "vanilla": {"image": [1.0] * 40, "text": [1.0] * 40},
            "retain": {"image": [0.0] * 40, "text": [0.0] * 40},
            "words_left": {"image": half, "text": [1.0] * 40},
            "pictures_left": {"image": [1.0] * 40, "text": half},
        }
    )
    verdicts = modalities(items).set_index("method")["verdict"]
    assert verdicts.to_dict() == {"vanilla": "control", "words_left": "words", "pictures_left": "pictures"}


def test_a_cell_with_one_modality_has_no_row() -> None:
    items = _items({"vanilla": EVERYTHING, "retain": NOTHING, "a": NOTHING})
    assert modalities(items[items["modality"] == "image"]).empty


def test_the_interval_equals_a_regression_with_clustered_errors() -> None:
    """The coefficient of a regression on a constant and the modality, with cluster-robust errors, written out with matrices."""
    random = np.random.default_rng(5)
    people = np.repeat(np.arange(7), 5)
    image = np.tile([True, True, False, False, False], 7)
    values = random.normal(size=35) + people / 3 + image * random.normal(size=7)[people]
    x = np.stack([np.ones(35), ~image], axis=1)
    inverse = np.linalg.inv(x.T @ x)
    coefficients = inverse @ x.T @ values
    residuals = values - x @ coefficients
    scores = np.stack([x[people == p].T @ residuals[people == p] for p in range(7)])
    variance = 7 / 6 * inverse @ (scores.T @ scores) @ inverse
    interval = difference_of_means(values, image, people)
    assert interval.mean == pytest.approx(coefficients[1])
    assert interval.standard_error == pytest.approx(np.sqrt(variance[1, 1]))
    assert interval.degrees == 6


def test_one_part_is_refused() -> None:
    with pytest.raises(ValueError, match="2 values, all of one part"):
        difference_of_means(np.zeros(2), np.array([True, True]), np.array([0, 1]))
