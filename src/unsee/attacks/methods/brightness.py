"""A darker or brighter picture.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", section 3,
https://arxiv.org/abs/1903.12261. They add to the value of every pixel; a factor, as of an exposure, leaves black black.
"""

from __future__ import annotations

from typing import Annotated

from PIL import Image

from unsee.attacks.attack import attack


@attack("brightness", label="brightness", paper="https://arxiv.org/abs/1903.12261")
def brightness(picture: Image.Image, *, factor: Annotated[float, "> 0"] = 0.7) -> Image.Image:
    """Multiply every value, round it, and cut it at white.

    Args:
        picture: the picture.
        factor: below 1 darkens, above 1 brightens.
    """
    return picture.point([min(255, round(value * factor)) for value in range(256)] * len(picture.getbands()))
