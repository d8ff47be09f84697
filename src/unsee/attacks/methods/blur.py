"""A picture out of focus.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", section 3,
https://arxiv.org/abs/1903.12261.
"""

from __future__ import annotations

from typing import Annotated

from PIL import Image, ImageFilter

from unsee.attacks.attack import attack


@attack("blur", label="blur", paper="https://arxiv.org/abs/1903.12261")
def blur(picture: Image.Image, *, radius: Annotated[float, "> 0, <= 1"] = 0.02) -> Image.Image:
    """Blur with a Gaussian, which Pillow makes of three box filters.

    Args:
        picture: the picture.
        radius: the Gaussian's standard deviation as a part of the picture's shorter side, so that a large picture is blurred
            as much as a small one.
    """
    return picture.filter(ImageFilter.GaussianBlur(radius * min(picture.size)))
