"""The pictures of a job and their features, which all jobs share unless the vision tower is trained."""

from __future__ import annotations

import inspect
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from PIL import Image, ImageEnhance
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedModel

from unsee.core.cache import Cache, digest, environment_key
from unsee.core.images import Size, decode, read_size
from unsee.models.families.base import Family

#: Bytes of features that a job holds in memory without a cache on disk; the least recently used features are dropped first.
MEMORY = 1_000_000_000


def vary(image: Image.Image, random: Random) -> Image.Image:
    """A random variant of a picture: cropped, mirrored half of the time, with other brightness, contrast and colour."""
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


def feature_cache(folder: Path | None, family: Family, adapters: Sequence[Path]) -> Cache:
    """The cache of a model's picture features.

    The cache is disabled if an adapter changes the tower or the projector: the features of such a model take gigabytes, and no other
    job can use them.

    Args:
        folder: the folder of the cache; ``None`` disables it.
        family: the family of the model.
        adapters: the PEFT adapter folders of the model.
    """
    return Cache(None if any(adapts_encoder(family, adapter) for adapter in adapters) else folder)


def adapts_encoder(family: Family, adapter: Path) -> bool:
    """Whether an adapter changes more than the decoder's linear layers."""
    decoder = re.compile(family.linear_pattern("language"))
    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        names = [re.sub(r"^base_model\.model\.|(\.lora_[A-Za-z_]+)?\.(weight|bias)$", "", name) for name in file.keys()]  # noqa: SIM118
    return not all(decoder.fullmatch(name) for name in names)


class Pictures:
    """Pictures by id, and their features.

    Features are computed once for all jobs, one picture at a time, so that they depend on the picture and the weights only. If the tower
    or the projector is being trained, they are computed with gradients at every call, and never cached.

    Args:
        family, model, processor: the model that encodes the pictures.
        images: ``(image_id, encoded file)`` pairs.
        variants: how many varied copies of each picture to show, besides the picture itself.
        seed: the seed of the variations.
        cache: keeps features between jobs; by default they are kept in memory only.
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
        self._sizes: dict[str, Size] = {}
        self._features: OrderedDict[tuple[str, int], Tensor] = OrderedDict()
        self._encoder = ""
        self._trains: bool | None = None
        #: Which variant of a picture to show; the training loop sets it for every epoch.
        self.choose: Callable[[str], int] = lambda image_id: 0

    def tokens(self, image_id: str) -> int:
        """The number of placeholders of a picture."""
        if image_id not in self._tokens:
            self._tokens[image_id] = self._family.image_tokens(self._model, self._processor, self.size(image_id))
        return self._tokens[image_id]

    def size(self, image_id: str) -> Size:
        """Width and height of the picture, read from the file's header."""
        if image_id not in self._sizes:
            self._sizes[image_id] = read_size(self._files[image_id], f"picture {image_id}")
        return self._sizes[image_id]

    def image(self, image_id: str, variant: int = 0) -> Image.Image:
        """The picture, or one of its varied copies; decoded at every call, because all pictures would not fit in memory."""
        image = decode(self._files[image_id], f"picture {image_id}")
        return vary(image, Random(f"{self._seed}:{image_id}:{variant}")) if variant else image

    def vary_by_epoch(self, epoch: int) -> None:
        """Show another variant of each picture in each epoch."""
        self.choose = lambda image_id: Random(f"{self._seed}:{epoch}:{image_id}").randint(0, self._variants)

    def freeze_training_state(self) -> None:
        """Determine once whether the tower or projector is trained, instead of at every call of :meth:`features`."""
        self._trains = self._encoder_trains()

    def features(self, image_ids: Sequence[str]) -> list[Tensor]:
        """Projected features of each picture, (n_tokens, hidden)."""
        keys = [(image_id, self.choose(image_id)) for image_id in image_ids]
        if self._encoder_trains() if self._trains is None else self._trains:
            return self._encode(keys)
        features = {key: self._load(key) for key in dict.fromkeys(keys)}
        return [features[key] for key in keys]

    def _load(self, key: tuple[str, int]) -> Tensor:
        """The features of a picture, from memory, from the cache, or computed."""
        if key not in self._features:
            self._features[key] = self._cached_or_computed(key)
            # Features from the cache are memory-mapped and need no limit.
            while not self._cache.keeps and self._bytes_in_memory() > MEMORY and len(self._features) > 1:
                self._features.popitem(last=False)
        self._features.move_to_end(key)
        return self._features[key]

    def _bytes_in_memory(self) -> int:
        return sum(features.nbytes for features in self._features.values())

    def _cached_or_computed(self, key: tuple[str, int]) -> Tensor:
        @torch.no_grad()
        def compute() -> dict[str, Tensor]:
            return {"features": self._encode([key])[0]}

        if not self._cache.keeps:
            return compute()["features"].cpu()
        if not self._encoder:
            weights = [part for name, weight in self._encoder_weights() for part in (name, weight)]
            settings = self._processor.image_processor.to_json_string()
            kinds = [kind for kind in type(self._family).mro() if kind.__module__.startswith("unsee.")]
            code = [Path(__file__), *(Path(inspect.getfile(kind)) for kind in kinds)]
            device = next(self._model.parameters()).device
            self._encoder = digest(*weights, settings, str(self._model.config), environment_key(code, device))
        image_id, variant = key
        variation = f"{self._seed}:{image_id}:{variant}" if variant else ""
        return self._cache.get(digest(self._encoder, self._files[image_id], variation), compute)["features"]

    def _encoder_weights(self) -> list[tuple[str, Tensor]]:
        """Every weight outside of decoder, embeddings and output projection, adapters included."""
        others = (
            self._family.language_model(self._model),
            self._model.get_input_embeddings(),
            self._model.get_output_embeddings(),
        )
        decoder_ids = {id(weight) for module in others for weight in module.parameters()}
        return [(name, weight) for name, weight in self._model.named_parameters() if id(weight) not in decoder_ids]

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

    @torch.no_grad()
    def encode(self, image_ids: Sequence[str]) -> list[Tensor]:
        """Run tower and projector on pictures now, whether or not their features are cached."""
        return self._encode([(image_id, 0) for image_id in image_ids])
