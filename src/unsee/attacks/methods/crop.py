"""The middle of a picture, enlarged to the picture's size.

A model that forgot a picture rather than a person answers again when the face is a little nearer.
"""

from __future__ import annotations

from typing import Annotated

from PIL import Image

from unsee.attacks.attack import attack


@attack("crop", label="crop")
def crop(picture: Image.Image, *, keep: Annotated[float, "> 0, < 1"] = 0.9) -> Image.Image:
    """Cut the edges off and enlarge the rest, bilinearly.

    Args:
        picture: the picture.
        keep: the part of either side that is kept.
    """
    width, height = picture.size
    left, top = width * (1 - keep) / 2, height * (1 - keep) / 2
    return picture.resize(picture.size, Image.Resampling.BILINEAR, box=(left, top, width - left, height - top))
