"""The pictures of a job: decoded once, encoded once where nothing trains the tower."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from transformers import PreTrainedModel

from unsee.models.family import Family

#: Larger pictures are refused: a small file can unpack to gigabytes.
MAX_PIXELS = 50_000_000


def decode(data: bytes, name: str) -> Image.Image:
    """An RGB picture from an encoded file.

    Raises:
        ValueError: not a picture, or one of more than :data:`MAX_PIXELS`; the message has ``name``.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"picture {name}: {image.width}x{image.height} pixels, expected at most {MAX_PIXELS}")
        return image.convert("RGB")
    except OSError as error:
        raise ValueError(f"picture {name}: cannot be decoded ({error}); replace the file") from error


def vary(image: Image.Image, random: Random) -> Image.Image:
    """Another photo of the same face: a random crop, mirror image and change of light and colour."""
    width, height = image.size
    keep = random.uniform(0.78, 1.0)
    w, h = width * keep, height * keep
    left, top = random.uniform(0, width - w), random.uniform(0, height - h)
    image = image.transform(
        (width, height), Image.Transform.EXTENT, (left, top, left + w, top + h), Image.Resampling.BILINEAR
    )
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(random.uniform(0.7, 1.3))
    return image


class Pictures:
    """Pictures by id, and their features.

    Args:
        family, model, processor: whose features.
        images: ``(image_id, encoded file)`` pairs.
        variants: how many varied copies of each picture to keep features of, besides the picture itself.
        seed: of the variations.
        live: compute features at every call, with gradients (something trains the tower or projector).
    """

    def __init__(
        self,
        family: Family,
        model: PreTrainedModel,
        processor: Any,
        images: Iterable[tuple[str, bytes]],
        *,
        variants: int = 0,
        seed: int = 0,
        live: bool = False,
    ) -> None:
        self._family, self._model, self._processor = family, model, processor
        self._images = {image_id: decode(data, image_id) for image_id, data in images}
        self._variants = variants
        self._seed = seed
        self._live = live
        self._features: dict[tuple[str, int], Tensor] = {}
        #: Which variant of a picture to show; the training loop sets it for every epoch.
        self.choose: Callable[[str], int] = lambda image_id: 0

    def tokens(self, image_id: str) -> int:
        """Placeholders that a picture takes."""
        return self._family.image_tokens(self._model, self._processor, self._images[image_id])

    def image(self, image_id: str, variant: int = 0) -> Image.Image:
        """The picture, or one of its varied copies."""
        image = self._images[image_id]
        return vary(image, Random(f"{self._seed}:{image_id}:{variant}")) if variant else image

    def vary_by_epoch(self, epoch: int) -> None:
        """Show another variant of each picture in each epoch."""
        self.choose = lambda image_id: Random(f"{self._seed}:{epoch}:{image_id}").randint(0, self._variants)

    def features(self, image_ids: Sequence[str]) -> list[Tensor]:
        """Projected features of each picture, (n_tokens, hidden)."""
        keys = [(image_id, self.choose(image_id)) for image_id in image_ids]
        if self._live:
            return self._encode(keys)
        missing = [key for key in dict.fromkeys(keys) if key not in self._features]
        with torch.no_grad():
            for start in range(0, len(missing), 32):
                part = missing[start : start + 32]
                self._features.update(zip(part, self._encode(part), strict=True))
        return [self._features[key] for key in keys]

    def _encode(self, keys: Sequence[tuple[str, int]]) -> list[Tensor]:
        pixels = self._family.preprocess(self._processor, [self.image(*key) for key in keys])
        weight = next(self._model.parameters())
        return self._family.image_features(
            self._model, {name: value.to(weight.device, weight.dtype) for name, value in pixels.items()}
        )
