"""The pictures of a job, encoded once for all jobs where nothing trains the tower."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from transformers import PreTrainedModel

from unsee.cache import Cache, digest, machinery
from unsee.models.family import Family

#: Larger pictures are refused: a small file can unpack to gigabytes.
MAX_PIXELS = 50_000_000


def decode(data: bytes, name: str) -> Image.Image:
    """An RGB picture from an encoded file.

    Raises:
        ValueError: not a picture, or one of more than :data:`MAX_PIXELS`; the message has ``name``.
    """
    image = _open(data, name)
    try:
        return image.convert("RGB")
    except OSError as error:
        raise ValueError(_undecodable(name, error)) from error


def _open(data: bytes, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings(category=Image.DecompressionBombWarning, action="ignore"):
            image = Image.open(io.BytesIO(data))
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(_undecodable(name, error)) from error
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"picture {name}: {image.width}x{image.height} pixels, expected at most {MAX_PIXELS}")
    return image


def _undecodable(name: str, error: Exception) -> str:
    return f"picture {name}: cannot be decoded ({error}); replace the file"


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

    Features are computed once for all jobs, each picture by itself, so that they depend on nothing but the picture and the
    weights. While something that is being trained touches the tower or the projector they are computed at every call instead,
    with gradients: none that were kept are used, and none are kept.

    Args:
        family, model, processor: whose features.
        images: ``(image_id, encoded file)`` pairs.
        variants: how many varied copies of each picture to show, besides the picture itself.
        seed: of the variations.
        cache: where features are kept between jobs; in memory only by default.
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
        cache: Cache | None = None,
    ) -> None:
        self._family, self._model, self._processor = family, model, processor
        self._files = dict(images)
        self._variants = variants
        self._seed = seed
        self._cache = cache or Cache(None)
        self._tokens: dict[str, int] = {}
        self._opened: dict[str, Image.Image] = {}
        self._features: dict[tuple[str, int], Tensor] = {}
        self._encoder = ""
        self._trains: bool | None = None
        #: Which variant of a picture to show; the training loop sets it for every epoch.
        self.choose: Callable[[str], int] = lambda image_id: 0

    def tokens(self, image_id: str) -> int:
        """Placeholders that a picture takes."""
        if image_id not in self._tokens:
            self._tokens[image_id] = self._family.image_tokens(self._model, self._processor, self.opened(image_id))
        return self._tokens[image_id]

    def opened(self, image_id: str) -> Image.Image:
        """The picture, opened and not decoded, to tell its size, which is in the file's first bytes."""
        if image_id not in self._opened:
            self._opened[image_id] = _open(self._files[image_id], image_id)
        return self._opened[image_id]

    def image(self, image_id: str, variant: int = 0) -> Image.Image:
        """The picture, or one of its varied copies; decoded at every call, for many pictures are too much to hold."""
        image = decode(self._files[image_id], image_id)
        return vary(image, Random(f"{self._seed}:{image_id}:{variant}")) if variant else image

    def vary_by_epoch(self, epoch: int) -> None:
        """Show another variant of each picture in each epoch."""
        self.choose = lambda image_id: Random(f"{self._seed}:{epoch}:{image_id}").randint(0, self._variants)

    def settle(self) -> None:
        """What is trained is decided: from here on, do not look for it at every call."""
        self._trains = self._encoder_trains()

    def features(self, image_ids: Sequence[str]) -> list[Tensor]:
        """Projected features of each picture, (n_tokens, hidden)."""
        keys = [(image_id, self.choose(image_id)) for image_id in image_ids]
        if self._encoder_trains() if self._trains is None else self._trains:
            return self._encode(keys)
        for key in dict.fromkeys(keys):
            if key not in self._features:
                self._features[key] = self._kept(key)
        return [self._features[key] for key in keys]

    def _kept(self, key: tuple[str, int]) -> Tensor:
        @torch.no_grad()
        def compute() -> dict[str, Tensor]:
            return {"features": self._encode([key])[0]}

        if not self._cache.keeps:
            return compute()["features"].cpu()
        if not self._encoder:
            weights = [part for name, weight in self._encoder_weights() for part in (name, weight)]
            settings = self._processor.image_processor.to_json_string()
            code = [Path(__file__), Path(inspect.getfile(type(self._family)))]
            device = next(self._model.parameters()).device
            self._encoder = digest(*weights, settings, str(self._model.config), machinery(code, device))
        image_id, variant = key
        variation = f"{self._seed}:{image_id}:{variant}" if variant else ""
        return self._cache.get(digest(self._encoder, self._files[image_id], variation), compute)["features"]

    def _encoder_weights(self) -> list[tuple[str, Tensor]]:
        """All that is neither decoder nor vocabulary, whatever a family calls it, with any adapter on it."""
        others = (
            self._family.language_model(self._model),
            self._model.get_input_embeddings(),
            self._model.get_output_embeddings(),
        )
        known = {id(weight) for module in others for weight in module.parameters()}
        return [(name, weight) for name, weight in self._model.named_parameters() if id(weight) not in known]

    def _encoder_trains(self) -> bool:
        return any(weight.requires_grad for _, weight in self._encoder_weights())

    def _encode(self, keys: Sequence[tuple[str, int]]) -> list[Tensor]:
        pixels = self._family.preprocess(self._processor, [self.image(*key) for key in keys])
        device = next(self._model.parameters()).device
        moved = {
            name: value.to(device, torch.float32 if value.is_floating_point() else None)
            for name, value in pixels.items()
        }
        return self._family.image_features(self._model, moved)
