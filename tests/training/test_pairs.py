"""Which tokens of a training pair are scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unsee.models.model import load
from unsee.models.pictures import Pictures
from unsee.training.pairs import people, read_images, read_pairs, units


def test_only_the_answer_is_scored_unless_all_is_asked_for(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    vlm = load(model_spec)
    pairs = read_pairs(mini_benchmark, people(mini_benchmark, 25, "forget")[:1])
    images = read_images(mini_benchmark, {pair.image_id for pair in pairs if pair.image_id})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    kinds = set()
    answers = units(vlm, pictures, pairs, "none")
    everything = units(vlm, pictures, pairs, "none", "all")
    for pair, unit, whole in zip(pairs, answers, everything, strict=True):
        ((request,), (scored,)) = unit.requests, whole.requests
        kinds.add(pair.image_id is None)
        assert vlm.tokenizer.decode(request.answer) == f" {pair.answer}</s>"
        assert request.prompt + request.answer == scored.prompt + scored.answer, "the same sequence, cut elsewhere"
        assert vlm.image_token not in scored.answer
        assert pair.question in vlm.tokenizer.decode(scored.answer)
        assert scored.prompt[-1] == (vlm.tokenizer.bos_token_id if pair.image_id is None else vlm.image_token)
    assert kinds == {True, False}
