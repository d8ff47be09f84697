"""Each measurement does the work that its row says, whatever the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import measure


def test_every_way_answers_the_same_questions(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    found = {
        way: measure.evaluate(model_spec, str(mini_benchmark), way=way, people=1)
        for way in ("shared", "batched", "official")
    }
    ids = {way: [a["question_id"] for a in result["answers"]] for way, result in found.items()}
    assert ids["shared"] == ids["batched"] == ids["official"]
    assert len(ids["shared"]) == found["shared"]["n"] == 18
    assert all(result["seconds"] > 0 for result in found.values())


def test_matched_steps_have_the_same_losses(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    found = {
        way: measure.train(model_spec, str(mini_benchmark), way=way, people=4, batch_people=2)
        for way in ("packed", "unpacked", "small")
    }
    assert {result["n"] for result in found.values()} == {4 * 17}
    assert len(found["packed"]["losses"]) == 2 and len(found["small"]["losses"]) == 17
    assert found["packed"]["losses"] == pytest.approx(found["unpacked"]["losses"], abs=1e-4)
