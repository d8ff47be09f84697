"""Gaussian noise on every value of a picture, as of a camera in poor light.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", section 3,
https://arxiv.org/abs/1903.12261; 0.08 is the mildest of its five levels.
"""

from __future__ import annotations

from random import Random
from typing import Annotated

import numpy as np
from PIL import Image

from unsee.attacks.attack import attack


@attack("pixel_noise", label="pixel noise", paper="https://arxiv.org/abs/1903.12261")
def pixel_noise(picture: Image.Image, random: Random, *, sigma: Annotated[float, "> 0, <= 1"] = 0.08) -> Image.Image:
    """Add independent noise, round, and cut at black and white.

    Args:
        picture: the picture.
        random: decides the noise.
        sigma: the standard deviation; white is 1.
    """
    values = np.asarray(picture)
    noise = np.random.default_rng(random.getrandbits(64)).normal(0, 255 * sigma, values.shape)
    return Image.fromarray((values + noise).round().clip(0, 255).astype(np.uint8))
