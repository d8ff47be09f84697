"""Features of a picture: its own, computed once, and never kept while something trains what makes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.core.cache import Cache
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures, adapts_encoder, feature_cache
from unsee.training.lora import add_lora, save_adapter
from unsee.training.settings import LoraSettings


@pytest.fixture
def vlm(model_spec: dict[str, Any]) -> VisionLanguageModel:
    return load(model_spec)


@pytest.fixture(scope="module")
def images(mini_benchmark: Path) -> list[tuple[str, bytes]]:
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "all"))
    return read_images(mini_benchmark, {pair.image_id for pair in pairs if pair.image_id})[:5]


@pytest.fixture
def encoded(vlm: VisionLanguageModel) -> Iterator[list[int]]:
    """How many pictures each call of the tower has had."""
    seen: list[int] = []
    hook = vlm.base.model.vision_tower.register_forward_hook(
        lambda module, inputs, output: seen.append(len(output.last_hidden_state))
    )
    yield seen
    hook.remove()


def _pictures(vlm: VisionLanguageModel, images: list[tuple[str, bytes]], folder: Path | None = None) -> Pictures:
    return Pictures(vlm.family, vlm.base, vlm.processor, images, cache=Cache(folder))


def test_company_does_not_change_a_bit(vlm: VisionLanguageModel, images: list[tuple[str, bytes]]) -> None:
    ids = [image_id for image_id, _ in images]
    together = _pictures(vlm, images).features(ids)
    for image_id, mine in zip(ids, together, strict=True):
        (alone,) = _pictures(vlm, images).features([image_id])
        assert torch.equal(mine, alone)
        pixels = vlm.processor.image_processor([_pictures(vlm, images).image(image_id)], return_tensors="pt")
        theirs = vlm.base.get_image_features(pixels["pixel_values"], vision_feature_layer=-1).pooler_output[0]
        torch.testing.assert_close(mine, theirs)


def test_another_job_finds_them(
    vlm: VisionLanguageModel, images: list[tuple[str, bytes]], encoded: list[int], tmp_path: Path
) -> None:
    ids = [image_id for image_id, _ in images]
    first = _pictures(vlm, images, tmp_path).features(ids)
    assert encoded == [1] * 5
    # The same pictures under other names are the same pictures.
    renamed = [(f"{image_id}-again", data) for image_id, data in images]
    again = _pictures(vlm, renamed, tmp_path).features([image_id for image_id, _ in renamed])
    assert encoded == [1] * 5
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_other_weights_or_another_variant_are_others(
    vlm: VisionLanguageModel, images: list[tuple[str, bytes]], encoded: list[int], tmp_path: Path
) -> None:
    image_id = images[0][0]
    (before,) = _pictures(vlm, images, tmp_path).features([image_id])
    varied = _pictures(vlm, images, tmp_path)
    varied.choose = lambda image_id: 1
    assert not torch.equal(varied.features([image_id])[0], before)
    with torch.no_grad():
        vlm.base.model.multi_modal_projector.linear_2.weight.mul_(2)
    assert not torch.equal(_pictures(vlm, images, tmp_path).features([image_id])[0], before)
    with torch.no_grad():
        vlm.family.language_model(vlm.base).layers[0].mlp.up_proj.weight.mul_(2)
    _pictures(vlm, images, tmp_path).features([image_id])
    assert encoded == [1] * 3, "the decoder is not what makes features"


@pytest.mark.parametrize("scope", ["vision", "both"])
def test_none_are_kept_while_the_tower_is_trained(
    vlm: VisionLanguageModel, images: list[tuple[str, bytes]], encoded: list[int], tmp_path: Path, scope: Any
) -> None:
    image_id = images[0][0]
    pictures = _pictures(vlm, images, tmp_path)
    (kept,) = pictures.features([image_id])
    add_lora(vlm, LoraSettings(scope=scope, dropout=0.0), 0)
    (live,) = pictures.features([image_id])
    assert live.requires_grad and len(encoded) == 2
    torch.testing.assert_close(live.detach(), kept)
    live.square().sum().backward()
    tower = [(n, p) for n, p in vlm.model.named_parameters() if "vision_tower" in n and "lora_B" in n]
    assert tower and all(p.grad is not None and p.grad.abs().max() > 0 for _, p in tower)
    with torch.no_grad():
        for _, weight in tower:
            weight.add_(0.1)
        assert not torch.allclose(pictures.features([image_id])[0], kept), "a step is seen at once"
        assert not torch.allclose(_pictures(vlm, images, tmp_path).features([image_id])[0], kept)


def test_they_are_kept_while_the_decoder_is_trained(
    vlm: VisionLanguageModel, images: list[tuple[str, bytes]], encoded: list[int]
) -> None:
    add_lora(vlm, LoraSettings(scope="language"), 0)
    pictures = _pictures(vlm, images)
    for _ in range(3):
        assert not pictures.features([images[0][0]])[0].requires_grad
    assert encoded == [1]


def test_a_file_that_is_no_picture_is_named(vlm: VisionLanguageModel) -> None:
    with pytest.raises(ValueError, match="picture x1: cannot be decoded"):
        _pictures(vlm, [("x1", b"no picture")]).features(["x1"])


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("language", False), ("both", True), ("vision", True), ("language_and_tower_attention", True)],
)
def test_features_of_a_tower_with_an_adapter_are_not_kept_on_disk(
    vlm: VisionLanguageModel,
    model_spec: dict[str, Any],
    images: list[tuple[str, bytes]],
    tmp_path: Path,
    scope: Any,
    expected: bool,
) -> None:
    """No other model has them: 53 GB for the published scope on MLLMU-Bench."""
    add_lora(vlm, LoraSettings(scope=scope), 0)
    save_adapter(vlm, tmp_path / "adapter")
    assert adapts_encoder(vlm.family, tmp_path / "adapter") == expected
    adapted = load(model_spec, [tmp_path / "adapter"])
    cache = feature_cache(tmp_path / "cache", adapted.family, [tmp_path / "adapter"])
    pictures = Pictures(adapted.family, adapted.base, adapted.processor, images, cache=cache)
    before = pictures.features([image_id for image_id, _ in images])
    assert (tmp_path / "cache").exists() != expected
    assert all(torch.equal(a, b) for a, b in zip(before, pictures.features([i for i, _ in images]), strict=True))


def test_features_in_memory_are_bounded(
    vlm: VisionLanguageModel, images: list[tuple[str, bytes]], encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [image_id for image_id, _ in images]
    pictures = _pictures(vlm, images)
    together = pictures.features(ids)
    monkeypatch.setattr("unsee.models.pictures.MEMORY", 3 * together[0].nbytes)
    few = _pictures(vlm, images)
    assert all(torch.equal(a, b) for a, b in zip(together, few.features(ids), strict=True)), (
        "all of them, though 3 are held"
    )
    assert few._bytes_in_memory() == 3 * together[0].nbytes and len(encoded) == 10
    few.features([ids[4], ids[2]])
    assert len(encoded) == 10, "the last three are held"
    few.features([ids[0], ids[4], ids[2]])
    assert len(encoded) == 11, "the picture that was not looked at for longest made room"


def test_what_the_cache_keeps_is_not_counted(
    vlm: VisionLanguageModel,
    images: list[tuple[str, bytes]],
    encoded: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("unsee.models.pictures.MEMORY", 1)
    ids = [image_id for image_id, _ in images]
    pictures = _pictures(vlm, images, tmp_path)
    for _ in range(2):
        pictures.features(ids)
    assert len(pictures._features) == len(encoded) == 5


def test_a_damaged_cache_gives_the_same_features(
    vlm: VisionLanguageModel, images: list[tuple[str, bytes]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [image_id for image_id, _ in images]
    sound = [features.clone() for features in _pictures(vlm, images, tmp_path).features(ids)]
    for file in tmp_path.rglob("*.safetensors"):
        data = file.read_bytes()
        file.write_bytes(data[:-800] + bytes(400) + data[-400:])
    again = _pictures(vlm, images, tmp_path).features(ids)
    assert all(torch.equal(a, b) for a, b in zip(sound, again, strict=True))
    assert len([record for record in caplog.records if "damaged; computing it again" in record.getMessage()]) == 5
