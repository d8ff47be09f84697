"""A configuration that another workflow gives, laid over the project's own file."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from unsee.jobs.config import content_of, over_defaults

FILE = Path(__file__).parents[2] / "config.yaml"


def test_keys_that_are_not_given_are_the_projects() -> None:
    above: dict[str, Any] = {"benchmark": {"people": 12}, "methods": {"npo": {"beta": 2.0}}}
    before, merged = copy.deepcopy(above), over_defaults(above, FILE)
    defaults = content_of(FILE)
    assert merged["benchmark"] == defaults["benchmark"] | {"people": 12}
    assert merged["methods"]["npo"] == defaults["methods"]["npo"] | {"beta": 2.0}
    assert merged.keys() == defaults.keys()
    merged["benchmark"]["people"] = 13
    merged["methods"]["npo"]["beta"] = 3.0
    assert above == before, "the caller's configuration is its own"


def test_a_rate_by_ratio_and_a_grid_are_taken_whole() -> None:
    """Key by key, {other: ...} would leave the default's rate at 5 %."""
    above = {"methods": {"vl_eraser": {"learning_rate": {"other": 0.001}, "tune": {"weight": [0.5]}}}}
    merged = over_defaults(above, FILE)["methods"]["vl_eraser"]
    assert merged["learning_rate"] == {"other": 0.001} and merged["tune"] == {"weight": [0.5]}
    assert merged["weight"] == content_of(FILE)["methods"]["vl_eraser"]["weight"]
