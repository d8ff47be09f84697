"""A packed question is scored as it would be alone; pictures and words of others are never seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.models.likelihood import score
from unsee.models.model import VisionLanguageModel, load
from unsee.models.packing import Request, collate, pack
from unsee.models.pictures import Pictures
from unsee.training.batches import units

IMAGE = 3


def test_a_trie_by_hand() -> None:
    packed = pack(
        [
            Request((1, 3, 3, 5), (6, 7), (("a", 1),)),
            Request((1, 3, 3, 5), (6, 8), (("a", 1),)),
            Request((1, 3, 3, 5), (6,), (("b", 1),)),
            Request((1, 5), (9,)),
        ],
        IMAGE,
    )
    assert packed.tokens.tolist() == [1, 3, 3, 5, 6, 7, 8, 3, 3, 5, 6, 5, 9]
    assert packed.positions[0].tolist() == [0, 1, 2, 3, 4, 5, 5, 1, 2, 3, 4, 1, 2]
    assert packed.ends.tolist() == [13, 7, 7, 7, 7, 6, 7, 11, 11, 11, 11, 13, 13]
    assert [path.tolist() for path in packed.paths] == [
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, 4, 6],
        [0, 7, 8, 9, 10],
        [0, 11, 12],
    ]
    assert packed.image_ids == ["a", "b"]
    assert packed.branches


def test_pictures_may_follow_and_repeat_each_other() -> None:
    packed = pack(
        [
            Request((1, 3, 3, 5, 3, 3, 3, 6), (7,), (("a", 1), ("a", 4), ("b", 6))),
            Request((1, 3, 3, 5, 3, 3, 3, 6), (8,), (("a", 1), ("a", 4), ("b", 6))),
            Request((1, 3, 3, 5, 3, 3, 9), (), (("a", 1), ("a", 4))),
            Request((1, 3, 3, 3, 3), (9,), (("a", 1), ("a", 3))),
            Request((1, 3, 9), ()),
        ],
        IMAGE,
    )
    #                                  a  a     a  a  b           | a  a    | an ordinary token
    assert packed.tokens.tolist() == [1, 3, 3, 5, 3, 3, 3, 6, 7, 8, 9, 3, 3, 9, 3, 9]
    assert packed.image_ids == ["a", "a", "b", "a"]
    assert packed.is_image.nonzero()[0].tolist() == [1, 2, 4, 5, 6, 11, 12]
    assert packed.paths[2].tolist() == [0, 1, 2, 3, 4, 5, 10]
    assert packed.paths[3].tolist() == [0, 1, 2, 11, 12, 13]
    assert collate([packed], pad_token=0).is_image[0].nonzero()[:, 0].tolist() == [1, 2, 4, 5, 6, 11, 12]


def test_the_mask_shows_ancestors_and_self_only() -> None:
    packed = pack([Request((1, 2), (4, 5)), Request((1, 2), (6,)), Request((7,), (8,))], IMAGE)
    batch = collate([packed, pack([Request((1,), (2,))], IMAGE)], pad_token=0)
    mask = batch.attention_mask[0, 0]
    for i in range(len(packed)):
        path = next(p for p in packed.paths if i in p).tolist()
        assert mask[i].nonzero()[:, 0].tolist() == path[: path.index(i) + 1]
    assert batch.attention_mask[1, 0, 4].nonzero()[:, 0].tolist() == [4], "padding sees itself only"


def test_targets_are_the_answers_and_nothing_else() -> None:
    requests = [Request((1, 3, 3, 5), (6, answer), (("a", 1),)) for answer in (7, 8)] + [Request((1, 9), ())]
    packs = [pack([r], IMAGE) for r in requests]
    batch = collate(packs, pad_token=0)
    assert batch.targets.tolist() == [6, 7, 6, 8]
    assert batch.example.tolist() == [0, 0, 1, 1]
    assert batch.n_examples == 3
    before = batch.tokens[batch.target_rows, batch.target_columns]
    assert before.tolist() == [5, 6, 5, 6]
    assert batch.is_image.sum() == 4
    assert batch.attention_mask.tolist() == [[1] * 6, [1] * 6, [1, 1, 0, 0, 0, 0]]


@pytest.fixture(scope="module")
def loaded(
    family_spec: dict[str, Any], mini_benchmark: Path, many_shapes: Any
) -> tuple[VisionLanguageModel, Pictures, list[Any]]:
    vlm = load(family_spec)
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget"))
    images = many_shapes(read_images(mini_benchmark, {p.image_id for p in pairs if p.image_id}))
    return vlm, Pictures(vlm.family, vlm.base, vlm.processor, images), pairs


def test_packed_scores_equal_plain_ones(loaded: tuple[VisionLanguageModel, Pictures, list[Any]]) -> None:
    vlm, pictures, pairs = loaded
    requests = [r for unit in units(vlm, pictures, pairs, "none") for r in unit.requests]
    together = pack(requests, vlm.image_token)
    assert len(together) < 0.7 * sum(len(r.tokens) for r in requests)
    with torch.no_grad():
        packed = score(vlm, _batch(vlm, [together]), pictures).sequence_sum()
        alone = torch.cat(
            [score(vlm, _batch(vlm, [pack([r], vlm.image_token)]), pictures).sequence_sum() for r in requests]
        )
    torch.testing.assert_close(packed, alone, atol=2e-4, rtol=1e-5)


def test_plain_scores_equal_transformers_own_loss(loaded: tuple[VisionLanguageModel, Pictures, list[Any]]) -> None:
    vlm, pictures, pairs = loaded
    for pair in (pairs[0], pairs[-1]):
        prompt = vlm.prompt(pair.question, with_image=pair.image_id is not None)
        request = vlm.request(prompt, pair.answer, pictures, pair.image_id)
        images = [pictures.image(pair.image_id)] if pair.image_id else None
        text = f"{prompt}{vlm.family.seam}{pair.answer}{vlm.tokenizer.eos_token}"
        inputs = vlm.processor(text=text, images=images, return_tensors="pt", add_special_tokens=False)
        assert inputs["input_ids"][0].tolist() == list(request.tokens)
        labels = inputs["input_ids"].clone()
        labels[:, : len(request.prompt)] = -100
        with torch.no_grad():
            theirs = vlm.base(**inputs, labels=labels).loss
            ours = score(vlm, _batch(vlm, [pack([request], vlm.image_token)]), pictures).nll()
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_prompts_of_several_pictures_equal_transformers_own(
    loaded: tuple[VisionLanguageModel, Pictures, list[Any]],
) -> None:
    """Pictures of other shapes and the same one again, packed together and alone."""
    vlm, pictures, pairs = loaded
    ids = sorted({pair.image_id for pair in pairs if pair.image_id})[:3]
    content: list[dict[str, str]] = []
    shown, requests, theirs = [], [], []
    for image_id in (ids[0], ids[0], ids[1], ids[2], ids[0]):
        content += [{"type": "image"}, {"type": "text", "text": f"Picture {len(shown)}."}]
        shown.append(image_id)
        turn = [{"role": "user", "content": content}]
        prompt = vlm.raw(vlm.processor.apply_chat_template(turn, add_generation_prompt=True))
        requests += vlm.requests(prompt, ["a baker", "a pilot"], pictures, shown)
        for answer in ("a baker", "a pilot"):
            inputs = vlm.processor(
                text=f"{prompt}{vlm.family.seam}{answer}{vlm.tokenizer.eos_token}",
                images=[pictures.image(one) for one in shown],
                return_tensors="pt",
                add_special_tokens=False,
            )
            request = requests[len(theirs)]
            assert inputs["input_ids"][0].tolist() == list(request.tokens)
            labels = inputs["input_ids"].clone()
            labels[:, : len(request.prompt)] = -100
            with torch.no_grad():
                theirs.append(vlm.base(**inputs, labels=labels).loss)
    packs = [pack([r], vlm.image_token) for r in requests]
    with torch.no_grad():
        alone = score(vlm, _batch(vlm, packs), pictures).sequence_mean()
        packed = score(vlm, _batch(vlm, [pack(requests, vlm.image_token)]), pictures).sequence_mean()
    torch.testing.assert_close(-alone, torch.stack(theirs), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-5)
    assert alone.unique().numel() == len(alone), "every picture counts"


def test_a_prompt_must_have_a_placeholder_a_picture(
    loaded: tuple[VisionLanguageModel, Pictures, list[Any]],
) -> None:
    vlm, pictures, pairs = loaded
    image_id = next(pair.image_id for pair in pairs if pair.image_id)
    with pytest.raises(ValueError, match="a prompt with 2 pictures has 1 placeholders; expected as many"):
        vlm.requests(vlm.prompt("Who?", with_image=True), [None], pictures, [image_id, image_id])


def test_packed_gradients_equal_the_plain_sum(loaded: tuple[VisionLanguageModel, Pictures, list[Any]]) -> None:
    vlm, pictures, pairs = loaded
    requests = [r for unit in units(vlm, pictures, pairs, "none") for r in unit.requests]
    weight = vlm.family.language_model(vlm.base).layers[0].mlp.up_proj.weight.requires_grad_(True)
    gradients = []
    for packs in ([pack(requests, vlm.image_token)], [pack([r], vlm.image_token) for r in requests]):
        weight.grad = None
        score(vlm, _batch(vlm, packs), pictures).nll().backward()
        gradients.append(weight.grad)
    weight.requires_grad_(False)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-4)


def test_another_pictures_person_changes_nothing(loaded: tuple[VisionLanguageModel, Pictures, list[Any]]) -> None:
    vlm, pictures, pairs = loaded
    mine = [p for p in pairs if p.person_id == pairs[0].person_id]
    both = [r for unit in units(vlm, pictures, pairs, "none") for r in unit.requests]
    with torch.no_grad():
        few = score(vlm, _batch(vlm, [pack(both[: len(mine)], vlm.image_token)]), pictures).sequence_sum()
        many = score(vlm, _batch(vlm, [pack(both, vlm.image_token)]), pictures).sequence_sum()[: len(mine)]
    np.testing.assert_allclose(few.numpy(), many.numpy(), atol=2e-4)


def _batch(vlm: VisionLanguageModel, packs: list[Any]) -> Any:
    return collate(packs, pad_token=vlm.pad_token)
