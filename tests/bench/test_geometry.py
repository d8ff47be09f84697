"""The ways to answer and to train at the published geometry do the same, and what is counted is what is computed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench import geometry, geometry_rows
from bench.full_size import pairs, questions
from unsee.models.packing import pack
from unsee.models.pictures import Pictures

FAMILIES = sorted(geometry.SMALL)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_ways_write_the_same_answers(family: str) -> None:
    work = geometry.work(geometry.SMALL[family], 2)
    assert [len(queries) for queries in work.groups] == [18, 18]
    shared = geometry.shared_answers(work)
    assert len(set(shared.values())) > 10, "a test of one answer tests nothing"
    assert shared == geometry.plain_answers(work, 8)
    first = geometry.Work(work.vlm, work.images, work.groups[:1])
    alone = geometry.plain_answers(first, 1)
    assert alone == {question: shared[question] for question in alone} and len(alone) == 18


def test_the_number_of_people_changes_no_answer() -> None:
    """Examples are read by the first person of a batch and copied by the others."""
    work = geometry.work(geometry.SMALL["llava"], 3)
    together = geometry.shared_answers(work)
    for group in work.groups:
        alone = geometry.shared_answers(geometry.Work(work.vlm, work.images, [group]))
        assert alone == {question: together[question] for question in alone}


def test_examples_are_read_once_for_all_people() -> None:
    shape = geometry.SMALL["llava"]
    read = []
    for people in (1, 2):
        work = geometry.work(shape, people)
        with geometry.counted(work.vlm) as count:
            geometry.shared_answers(work)
        read.append(count.tokens)
    picture = (shape.image // shape.patch) ** 2
    # Five pictures in front of multiple choice and four in front of cloze, with their words, are in the first count only.
    assert read[0] - (read[1] - read[0]) > 9 * picture


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_step_has_the_gradient_of_an_unpacked_one(family: str) -> None:
    shape = geometry.SMALL[family]
    vlm = geometry.trained_model(shape)
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, questions(1, shape)[1])
    results = [geometry.step_gradient(vlm, pictures, pairs(1, 6), packed=packed) for packed in (True, False)]
    (loss, gradient), (other_loss, other) = results
    assert loss == pytest.approx(other_loss, abs=1e-5)
    for one, two in zip(gradient, other, strict=True):
        assert float((one - two).norm()) < 1e-3 * float(two.norm())


def test_what_is_counted_is_computed() -> None:
    work = geometry.work(geometry.SMALL["llava"], 1)
    (query,) = [q for q in work.groups[0] if q.question_id.endswith("text/generation/0")]
    requests = work.vlm.requests(query.prompt, [None], work.pictures(), [], end=False)
    n, width, heads = len(requests[0].tokens), 64, 4
    with geometry.counted(work.vlm) as count:
        geometry.plain.write(work.vlm, work.pictures(), [query], max_new_tokens=3)
    assert count.tokens == n + 2
    layer = 4 * width**2 + 3 * width * 128
    products = 2 * (2 * layer * (n + 2) + 3 * width * 2048)
    seen = n * n / 2 + (n + 1) + (n + 2)
    assert count.flops == pytest.approx(products + 2 * 4 * seen * heads * (width // heads))


def test_needed_tokens_are_counted_once() -> None:
    work = geometry.work(geometry.SMALL["qwen2_vl"], 2)
    first = geometry.Work(work.vlm, work.images, work.groups[:1])
    written = 10 * 1 + 8 * 49
    pictures = work.pictures()
    requests = [
        r for q in work.groups[0] for r in work.vlm.requests(q.prompt, [None], pictures, q.image_ids, end=False)
    ]
    assert geometry.useful_tokens(first) == len(pack(requests, work.vlm.image_token)) + written
    # Both people share the words in front of the picture only.
    assert geometry.useful_tokens(first) < geometry.useful_tokens(work) < 2 * geometry.useful_tokens(first)


def test_the_shapes_are_the_published_ones() -> None:
    for shape, tokens in ((geometry.LLAVA, 576), (geometry.QWEN2_VL, 1024)):
        vlm = geometry.build(shape, "meta", torch.float32)
        image = geometry.questions(1, shape)[1][0][1]
        assert Pictures(vlm.family, vlm.base, vlm.processor, [("one", image)]).tokens("one") == tokens
    assert (geometry.LLAVA.vocabulary, geometry.QWEN2_VL.vocabulary) == (32064, 152064)


def test_different_answers_are_refused() -> None:
    same: dict[str, Any] = {way: {"answers": {"one": "a", "two": "b"}} for way in ("official", "batched", "shared")}
    geometry_rows.check_answers(same)
    with pytest.raises(RuntimeError, match="1 of 2 answers, batched and shared, differ: \\['two'\\]"):
        geometry_rows.check_answers({**same, "batched": {"answers": {"one": "a", "two": "c"}}})
    with pytest.raises(RuntimeError, match="0 of 0 answers"):
        geometry_rows.check_answers({**same, "official": {"answers": {}}})


def test_different_gradients_are_refused() -> None:
    step = {"loss": 1.0, "projections": [0.5, 2.0], "norms": [1.0, 2.0]}
    geometry_rows.check_gradients(step, step)
    with pytest.raises(RuntimeError, match="gradients differ by up to 1.0e-01 of their size"):
        geometry_rows.check_gradients({**step, "projections": [0.5, 2.2]}, step)
    with pytest.raises(RuntimeError, match="losses"):
        geometry_rows.check_gradients({**step, "loss": 1.1}, step)
