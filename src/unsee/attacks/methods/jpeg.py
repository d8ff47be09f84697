"""A picture that was saved in low quality.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", section 3,
https://arxiv.org/abs/1903.12261; quality 25 is the mildest of its five levels.
"""

from __future__ import annotations

import io
from typing import Annotated

from PIL import Image

from unsee.attacks.attack import attack
from unsee.core.images import decode


@attack("jpeg", label="JPEG", paper="https://arxiv.org/abs/1903.12261")
def jpeg(picture: Image.Image, *, quality: Annotated[int, ">= 1, <= 95"] = 25) -> Image.Image:
    """Encode as JPEG, colours at half the resolution, and decode.

    Args:
        picture: the picture.
        quality: of the encoding, 1 to 95.
    """
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return decode(file.getvalue(), "a picture saved as JPEG").convert(picture.mode)
