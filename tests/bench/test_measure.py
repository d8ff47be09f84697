"""Each measurement does the work that its row says, whatever the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import measure


def test_every_way_answers_the_same_questions(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    results = {
        way: measure.evaluate(model_spec, str(mini_benchmark), way=way, people=1)
        for way in ("shared", "batched", "official")
    }
    ids = {way: [a["question_id"] for a in result["answers"]] for way, result in results.items()}
    assert ids["shared"] == ids["batched"] == ids["official"]
    assert len(ids["shared"]) == results["shared"]["n"] == 18
    assert all(result["seconds"] > 0 for result in results.values())


def test_matched_steps_have_the_same_losses(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    results = {
        way: measure.train(model_spec, str(mini_benchmark), way=way, people=4, batch_people=2)
        for way in ("packed", "unpacked", "small")
    }
    assert {result["n"] for result in results.values()} == {4 * 17}
    assert len(results["packed"]["losses"]) == 2 and len(results["small"]["losses"]) == 17
    assert results["packed"]["losses"] == pytest.approx(results["unpacked"]["losses"], abs=1e-4)
