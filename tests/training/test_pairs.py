"""The tokens of a training pair that are scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import error_page
from unsee.benchmarks.schema import BenchmarkError
from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.models.model import load
from unsee.models.pictures import Pictures
from unsee.training.batches import units


def test_only_the_answer_is_scored_unless_loss_tokens_is_all(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    vlm = load(model_spec)
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget")[:1])
    images = read_images(mini_benchmark, {pair.image_id for pair in pairs if pair.image_id})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    kinds = set()
    answers = units(vlm, pictures, pairs, "none")
    everything = units(vlm, pictures, pairs, "none", "all")
    for pair, unit, whole in zip(pairs, answers, everything, strict=True):
        ((request,), (scored,)) = unit.requests, whole.requests
        kinds.add(pair.image_id is None)
        assert vlm.tokenizer.decode(request.answer) == f" {pair.answer}</s>"
        assert request.prompt + request.answer == scored.prompt + scored.answer, "the same sequence, split elsewhere"
        assert vlm.image_token not in scored.answer
        assert pair.question in vlm.tokenizer.decode(scored.answer)
        assert scored.prompt[-1] == (vlm.tokenizer.bos_token_id if pair.image_id is None else vlm.image_token)
    assert kinds == {True, False}


def test_a_pair_longer_than_the_context_is_refused_before_it_is_trained_on(
    model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    """The model has 512 positions; a rotary embedding gives later positions values too, and 3,000 words took 20 GB."""
    vlm = load(model_spec)
    assert vlm.context == 512
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget")[:1])
    images = read_images(mini_benchmark, {pair.image_id for pair in pairs if pair.image_id})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    (unit, *_) = units(vlm, pictures, pairs[:1], "none")
    left = 512 - len(unit.requests[0].tokens)
    word = " a"  # one token
    assert len(vlm.tokenizer(word * 9, add_special_tokens=False)["input_ids"]) == 9
    longest = replace(pairs[0], answer=pairs[0].answer + word * left)
    (unit,) = units(vlm, pictures, [longest], "none")
    assert len(unit.requests[0].tokens) == 512
    longer = [replace(longest, pair_id=f"long-{i}", answer=longest.answer + word * (i + 1)) for i in range(12)]
    for packing in ("none", "person"):
        with pytest.raises(BenchmarkError) as caught:
            units(vlm, pictures, [*pairs, *longer], packing)
    error_page.check("training pairs longer than the model's context", "job", str(caught.value))
    with pytest.raises(BenchmarkError, match="longest has [0-9]+ tokens; expected at most 512"):
        units(vlm, pictures, [replace(longest, pair_id="longest", answer="Paris " * 3000)], "none", "all")
