"""A part of a picture is covered.

DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", https://arxiv.org/abs/1708.04552.
"""

from __future__ import annotations

import math
from random import Random
from typing import Annotated

from PIL import Image

from unsee.attacks.attack import attack


@attack("occlusion", label="occlusion", paper="https://arxiv.org/abs/1708.04552")
def occlusion(picture: Image.Image, random: Random, *, share: Annotated[float, "> 0, < 1"] = 0.1) -> Image.Image:
    """Paint a grey rectangle of the picture's proportions somewhere within the picture.

    Args:
        picture: the picture.
        random: decides the place.
        share: the part of the picture's area that is covered, up to the rounding of the sides to whole pixels.
    """
    width, height = (max(1, round(side * math.sqrt(share))) for side in picture.size)
    left, top = random.randint(0, picture.width - width), random.randint(0, picture.height - height)
    covered = picture.copy()
    covered.paste((128,) * len(picture.getbands()), (left, top, left + width, top + height))
    return covered
