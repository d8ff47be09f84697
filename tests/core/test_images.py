"""Encoded pictures of every kind that occurs: what is accepted, what it becomes, and what is refused."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import error_page
from unsee.benchmarks import readers
from unsee.benchmarks.schema import BenchmarkError
from unsee.core import images

ROOT = Path(__file__).parents[2]


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(images.decode(data, "x"))


def test_16_bit_grey_keeps_its_greys() -> None:
    """0, 1/4, 1/2, 3/4, 1 of white; Pillow's own conversion makes the last four white."""
    values = np.array([[0, 16384, 32768, 49151, 65535]], dtype=np.uint16)
    for data in (encoded(Image.fromarray(values)), encoded(Image.fromarray(values), "TIFF")):
        assert Image.open(io.BytesIO(data)).mode.startswith("I;16")
        assert pixels(data).tolist() == [[[grey] * 3 for grey in (0, 64, 128, 191, 255)]]


def test_transparency_is_dropped_as_published_code_drops_it() -> None:
    image = Image.new("RGBA", (2, 1))
    image.putpixel((0, 0), (10, 20, 30, 0))
    image.putpixel((1, 0), (40, 50, 60, 128))
    for kind in ("PNG", "TIFF"):
        assert pixels(encoded(image, kind)).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert pixels(encoded(Image.new("LA", (1, 1), (70, 0)))).tolist() == [[[70, 70, 70]]]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP"])
def test_a_palette_is_looked_up(kind: str) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([2, 0, 1])
    expected = [[[0, 0, 255], [255, 0, 0], [0, 255, 0]]]
    assert pixels(encoded(image, kind)).tolist() == expected
    if kind != "BMP":
        assert pixels(encoded(image, kind, transparency=0)).tolist() == expected


def test_cmyk_is_ink_and_grey_and_bitmaps_are_grey() -> None:
    cyan = pixels(encoded(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=100))
    assert np.abs(cyan.astype(int) - [0, 255, 255]).max() <= 2
    assert pixels(encoded(Image.new("L", (1, 1), 90))).tolist() == [[[90, 90, 90]]]
    assert pixels(encoded(Image.new("1", (1, 1), 1))).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_shown_upright(kind: str, orientation: int) -> None:
    """A camera that lies on its side writes the rows as it sees them, and how to turn them; corner by corner."""
    upright = np.zeros((32, 64, 3), dtype=np.uint8)
    upright[:16, :32], upright[:16, 32:], upright[16:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {} if kind in ("PNG", "TIFF") else {"quality": 100}
    data = encoded(Image.fromarray(np.ascontiguousarray(turned)), kind, exif=exif, **options)
    assert images.read_size(data, "x") == (64, 32)
    shown = pixels(data).astype(int)
    assert shown.shape == (32, 64, 3)
    for row, column in ((4, 4), (4, 60), (28, 4), (28, 60)):
        assert np.abs(shown[row, column] - upright[row, column]).max() < 40, (row, column)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0damaged", b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0"]
)
def test_a_damaged_orientation_is_none(exif: bytes) -> None:
    data = encoded(Image.new("RGB", (20, 10)), "JPEG", exif=exif)
    assert images.read_size(data, "x") == images.decode(data, "x").size == (20, 10)


def test_an_ordinary_picture_is_pillows_own() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encoded(Image.fromarray(noise), kind)
        assert np.array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_the_size_is_read_without_a_pixel() -> None:
    data = encoded(Image.new("RGB", (300, 200)))
    assert images.read_size(data[:60], "x") == (300, 200)
    with pytest.raises(images.PictureError, match="^x: the picture cannot be decoded"):
        images.decode(data[: len(data) // 2], "x")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


def refusal(data: bytes) -> str:
    """What loading a benchmark says of a picture."""
    with pytest.raises(BenchmarkError) as caught:
        readers.picture("FOLDER/Full_Set/train-00000-of-00001.parquet, row 3", {"bytes": data})
    return str(caught.value)


def test_no_program_is_started_for_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(subprocess, "check_call", refuse)
    error_page.check("an EPS file as a picture", "loading", refusal(EPS))
    for name, kind in (("PPM", "PPM"), ("ICO", "ICO"), ("PDF", "PDF")):
        assert "expected one of JPEG, PNG" in refusal(encoded(Image.new("RGB", (32, 32)), kind)), name


def test_a_picture_that_is_refused_is_named() -> None:
    error_page.check("a picture that is no picture", "loading", refusal(b"no picture"))
    long = encoded(Image.new("RGB", (20_000, 1)))
    error_page.check("a picture of 20,000 x 1 pixels", "loading", refusal(long))
    assert images.read_size(encoded(Image.new("RGB", (1, 200))), "x") == (1, 200)
    large = encoded(Image.new("1", (7_100, 7_100)))
    error_page.check("a picture of 7,100 x 7,100 pixels", "loading", refusal(large))
    floats = encoded(Image.new("F", (4, 4)), "TIFF")
    error_page.check("a picture of 32-bit numbers", "loading", refusal(floats))
    with pytest.raises(images.PictureError, match="32-bit numbers"):
        images.decode(encoded(Image.new("I", (4, 4), 70_000), "TIFF"), "x")


@pytest.mark.parametrize("family", ["llava", "llava_next", "qwen2_vl"])
def test_every_family_takes_the_longest_picture(
    family: str, request: pytest.FixtureRequest, random_checkpoint: Path, random_qwen2_vl: Path, random_llava_next: Path
) -> None:
    from unsee.models.families import load_family as find

    folder = {"llava": random_checkpoint, "llava_next": random_llava_next, "qwen2_vl": random_qwen2_vl}[family]
    processor = find(family).load_processor(str(folder))
    for size in ((1, 200), (200, 1), (2000, 10), (1, 1)):
        inputs = find(family).preprocess(processor, [Image.new("RGB", size)])
        assert all(value.isfinite().all() for value in inputs.values())


#: Not ru_maxrss, which counts the process that started this one.
MEASURE = """
import sys
sys.path.insert(0, {source!r})
from unsee.core import images
data = open(sys.argv[1], "rb").read()
try:
    image = images.decode(data, "x")
    if sys.argv[2] == "processor":
        from transformers import CLIPImageProcessorPil
        CLIPImageProcessorPil(size={{"shortest_edge": 336}}, crop_size={{"height": 336, "width": 336}})([image])
except images.PictureError as error:
    print(error)
print(int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) // 1024)
"""


@pytest.mark.parametrize(
    ("size", "mode", "step"),
    [
        ((1, 20_000), "RGB", "processor"),  # 20 GB in LLaVA's processor
        ((200, 40_000), "RGB", "processor"),  # the longest that is accepted
        ((7_000, 7_100), "I;16", "decode"),  # the largest that is accepted, and the mode that needs most
        ((7_000, 7_100), "CMYK", "decode"),
        ((7_100, 7_100), "L", "decode"),
    ],
)
def test_memory_stays_under_one_and_a_half_gigabytes(
    size: tuple[int, int], mode: str, step: str, tmp_path: Path
) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    (tmp_path / "x").write_bytes(encoded(Image.new(mode, size), kind))
    code = MEASURE.format(source=str(ROOT / "src"))
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x"), step], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 1500, done.stdout
