"""Open, check and decode pictures to RGB; no other module opens a picture.

- Formats: only :data:`FORMATS`. Without the list Pillow would start Ghostscript for an EPS file.
- Size: at most :data:`MAX_PIXELS`, and at most :data:`MAX_ASPECT_RATIO` times as long as wide; read from the header, before any pixel.
- Orientation: an EXIF orientation is applied, as every viewer does.
- 16-bit grey: 65,535 is white. Pillow's own conversion cuts at 255, so that nearly everything turns white.
- 32-bit integers and floats: refused, because the file does not say which value is white.
- Transparency: dropped, as ``convert("RGB")`` does in the published evaluations and in transformers' processors.
- Palettes, CMYK, YCbCr, grey and bitmaps: Pillow's conversion. Of an animation the first frame.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

#: A small file can unpack to gigabytes.
MAX_PIXELS = 50_000_000

#: Longer side by shorter. Qwen2-VL takes no picture beyond it, and LLaVA's processor enlarges the shorter side to 336 pixels before it
#: crops: a picture of 1 x 20,000 pixels would become one of 2 billion.
MAX_ASPECT_RATIO = 200

_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)


class PictureError(ValueError):
    """A file is no picture, or its picture is not accepted; the message begins with its name."""


class Size(NamedTuple):
    """Pixels of a picture as it is shown."""

    width: int
    height: int


def read_size(data: bytes, name: str) -> Size:
    """The size of an encoded picture; no pixel is decoded.

    Args:
        data: the file's bytes.
        name: what an error's message begins with.

    Raises:
        PictureError: not a picture of these formats, or a too large or too long one.
    """
    image = open_image(data, name)
    width, height = image.size
    return Size(height, width) if _orientation(image, data) in _SIDEWAYS else Size(width, height)


def decode(data: bytes, name: str) -> Image.Image:
    """The picture of an encoded file in RGB.

    Args:
        data: the file's bytes.
        name: what an error's message begins with.

    Raises:
        PictureError: as :func:`read_size`; or a damaged file, or one with 32-bit values.
    """
    image = open_image(data, name)
    try:
        if _orientation(image, data) != 1:
            ImageOps.exif_transpose(image, in_place=True)
        image.load()
        sixteen_bits = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
        if image.mode in ("I", "F") and not sixteen_bits:
            raise ValueError("its pixels are 32-bit numbers; expected 8 or 16 bits a channel")
        return _eight_bits(image) if sixteen_bits else image.convert("RGB")
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders may raise any exception for damaged data
        raise PictureError(_undecodable(name, error)) from error


def open_image(data: bytes, name: str) -> Image.Image:
    """The picture, opened and not decoded; see :func:`read_size`."""
    try:
        with warnings.catch_warnings(category=Image.DecompressionBombWarning, action="ignore"):
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise PictureError(
            f"{name}: cannot be decoded as a picture; expected one of {', '.join(FORMATS)}; replace it"
        ) from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name}: a picture of more than {MAX_PIXELS} pixels; replace it") from error
    except Exception as error:
        raise PictureError(_undecodable(name, error)) from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError(f"{name}: a picture of {width}x{height} pixels; expected at most {MAX_PIXELS}; replace it")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise PictureError(
            f"{name}: a picture of {width}x{height} pixels; expected one side at most {MAX_ASPECT_RATIO} times the other; "
            "replace it"
        )
    return image


def _orientation(image: Image.Image, data: bytes) -> int:
    """The EXIF orientation, 1 to 8; 1 is upright."""
    # Pillow turns a TIFF itself. It decodes a PNG to look behind its pixels: not where the file has no such chunk.
    if image.format == "TIFF" or (
        image.format == "PNG" and b"eXIf" not in data and b"Raw profile type exif" not in data
    ):
        return 1
    try:
        orientation: Any = image.getexif().get(_ORIENTATION)
    except Exception:  # a damaged EXIF block is ignored; its reader may raise any exception
        return 1
    return int(orientation) if orientation in range(1, 9) else 1


def _eight_bits(image: Image.Image) -> Image.Image:
    """A 16-bit grey picture in RGB, rounded to the nearest of 256 greys."""
    values = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def _undecodable(name: str, error: Exception) -> str:
    reason = re.sub(r" <_io\.BytesIO[^>]*>", "", str(error)) or type(error).__name__  # without the object's address
    return f"{name}: the picture cannot be decoded ({reason}); replace it"
