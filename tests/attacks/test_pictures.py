"""Each attack on pictures against a few independent lines, and what all of them keep."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from unsee.attacks import catalogue
from unsee.attacks.attack import get
from unsee.core.cache import Cache
from unsee.models.model import load
from unsee.models.pictures import Pictures
from unsee.models.pictures import feature_cache as features_of

ATTACKS = [name for name, attack in catalogue.read().items() if attack.kind == "picture"]


def changed(name: str, picture: Image.Image, seed: int = 0, **options: Any) -> Image.Image:
    attack = get(name)
    more = {"random": Random(seed)} if "random" in attack.inputs else {}
    result: Image.Image = attack.apply(picture.copy(), **more, **options)
    return result


def plain(value: int, size: tuple[int, int] = (32, 24), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, (value,) * len(mode))


def scene(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values).resize(size, box=(0, 0, size[0] / 3, size[1] / 3)).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(96, 96), (50, 30), (25, 90)])
@pytest.mark.parametrize("name", ATTACKS)
def test_size_and_mode_stay_and_the_pixels_do_not(name: str, size: tuple[int, int], mode: str) -> None:
    """A picture of the same size takes as many tokens in every family."""
    before = scene(size, mode)
    after = changed(name, before)
    assert (after.size, after.mode) == (before.size, before.mode)
    assert after.tobytes() != before.tobytes()
    assert after.tobytes() == changed(name, before).tobytes()
    assert before.tobytes() == scene(size, mode).tobytes()


def test_a_crop_is_the_middle_twice_as_large() -> None:
    columns, rows = np.meshgrid(4 * np.arange(40), 6 * np.arange(20))
    ramps = np.stack([columns, rows, columns + rows // 2], axis=-1).astype(np.uint8)
    pixels = np.asarray(changed("crop", Image.fromarray(ramps), keep=0.5))
    # Pixel x shows what stood at 10 + (x + 1/2) / 2 - 1/2.
    x = 10 + (np.arange(40) + 0.5) / 2 - 0.5
    y = 5 + (np.arange(20) + 0.5) / 2 - 0.5
    assert np.abs(pixels[:, :, 0] - 4 * x[None]).max() <= 0.5
    assert np.abs(pixels[:, :, 1] - 6 * y[:, None]).max() <= 0.5


def test_a_blurred_edge_is_the_integral_of_a_gaussian() -> None:
    edge = np.zeros((60, 200), dtype=np.uint8)
    edge[:, 100:] = 255
    pixels = np.asarray(changed("blur", Image.fromarray(edge), radius=0.1))[30]
    sigma = 0.1 * 60
    expected = [255 * (1 + math.erf((x - 99.5) / sigma / math.sqrt(2))) / 2 for x in range(200)]
    assert np.abs(pixels - np.array(expected)).max() < 4
    other = [255 * (1 + math.erf((x - 99.5) / (0.8 * sigma) / math.sqrt(2))) / 2 for x in range(200)]
    assert np.abs(pixels - np.array(other)).max() > 8


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(("value", "expected"), [(128, 128), (129, 128), (131, 132), (135, 136), (200, 200)])
def test_jpeg_rounds_a_grey_as_its_table_says(value: int, expected: int, mode: str) -> None:
    """The mean of a block is 8 (v - 128), in steps of 16 at quality 50 and of 32 at 25: every fourth grey is left."""
    assert set(np.asarray(changed("jpeg", plain(value, mode=mode), quality=25)).flat) == {expected}


def test_jpeg_loses_more_at_a_lower_quality() -> None:
    before = np.asarray(scene((96, 96)), dtype=int)
    losses = [np.abs(np.asarray(changed("jpeg", scene((96, 96)), quality=q)) - before).mean() for q in (90, 50, 25, 5)]
    assert losses == sorted(losses) and losses[0] < losses[-1] / 2


def test_brightness_by_hand() -> None:
    values = [0, 1, 100, 130, 255]
    row = Image.fromarray(np.array([[[v, v, 10] for v in values]], dtype=np.uint8))
    darker, brighter = (np.asarray(changed("brightness", row, factor=f))[0] for f in (0.7, 1.5))
    assert darker.tolist() == [[0, 0, 7], [1, 1, 7], [70, 70, 7], [91, 91, 7], [178, 178, 7]]
    assert brighter.tolist() == [[0, 0, 15], [2, 2, 15], [150, 150, 15], [195, 195, 15], [255, 255, 15]]
    theirs = np.asarray(ImageEnhance.Brightness(scene((96, 96))).enhance(0.7), dtype=int)
    assert np.abs(np.asarray(changed("brightness", scene((96, 96)), factor=0.7)) - theirs).max() <= 1


def test_noise_has_its_standard_deviation_and_is_cut_at_black() -> None:
    pixels = np.asarray(changed("pixel_noise", plain(128, (200, 200)), sigma=0.08), dtype=float)
    assert pixels.mean() == pytest.approx(128, abs=0.3)
    assert pixels.std() == pytest.approx(0.08 * 255, rel=0.01)
    assert np.corrcoef(pixels[:, :, 0].flat, pixels[:, :, 1].flat)[0, 1] == pytest.approx(0, abs=0.02)
    dark = np.asarray(changed("pixel_noise", plain(0, (200, 200)), sigma=0.08))
    assert (dark == 0).mean() == pytest.approx(0.5, abs=0.02)
    assert changed("pixel_noise", plain(128), 1).tobytes() != changed("pixel_noise", plain(128), 2).tobytes()


def test_a_quarter_is_covered_by_a_grey_rectangle_somewhere() -> None:
    places = set()
    for seed in range(40):
        pixels = np.asarray(changed("occlusion", plain(255, (40, 20)), seed, share=0.25))
        rows, columns = np.nonzero((pixels == 128).all(axis=-1))
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1, len(rows)) == (10, 20, 200)
        assert (pixels == 255).all(axis=-1).sum() == 600
        places.add((rows.min(), columns.min()))
    assert len(places) > 20
    assert min(y for y, _ in places) >= 0 and max(x for _, x in places) <= 20


def test_the_encoder_gets_the_changed_pixels_whatever_the_cache_holds(
    model_spec: dict[str, Any], mini_benchmark: Path, tmp_path: Path
) -> None:
    from unsee.attacks.inputs import Changed, attacked_images
    from unsee.benchmarks.tables import read_table

    vlm = load(model_spec)
    question = next(q for q in read_table(mini_benchmark, "questions").to_pylist() if q["image_id"])
    image_id, versions = question["image_id"], [[Changed(question, question)]]

    def features(name: str, options: dict[str, Any], cache: Cache) -> Any:
        images = attacked_images(get(name), options, mini_benchmark, versions, 0)
        return Pictures(vlm.family, vlm.base, vlm.processor, images, cache=cache).features([image_id])[0]

    shared, none = features_of(tmp_path, vlm.family, []), Cache(None)
    before = features("prefix", {}, shared)
    after = features("brightness", {"factor": 0.5}, shared)
    assert shared.keeps and any(tmp_path.rglob("*"))
    assert not before.equal(after)
    assert after.equal(features("brightness", {"factor": 0.5}, none))
    assert before.equal(features("prefix", {}, none))
