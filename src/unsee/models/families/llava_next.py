"""LLaVA-NeXT (1.6): LLaVA with pictures in their own shape, cut into tiles besides the whole; a decoder of several kinds.

A picture takes the tokens of the whole at the tower's size, then those of its tiles, row by row without what was padded, with one
that is learned at the end of each row. All are neighbours in the prompt, with positions 0, 1, 2, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import LlavaNextForConditionalGeneration, PreTrainedModel

from unsee.core.images import Size
from unsee.models.families.base import load_weights
from unsee.models.families.llava import Llava


class LlavaNext(Llava):
    """See :class:`unsee.models.families.base.Family`; modules have LLaVA's names."""

    name = "llava_next"

    def load(self, path: str, dtype: torch.dtype) -> PreTrainedModel:
        return load_weights(LlavaNextForConditionalGeneration, path, dtype)

    def preprocess(self, processor: Any, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        found = processor.image_processor(list(images), return_tensors="pt")
        return {name: found[name] for name in ("pixel_values", "image_sizes")}

    def image_tokens(self, model: PreTrainedModel, processor: Any, image: Size) -> int:
        found = processor._get_num_multimodal_tokens(image_sizes=[(image.height, image.width)])
        return int(found["num_image_tokens"][0])

    def image_features(self, model: PreTrainedModel, pixels: dict[str, Tensor]) -> list[Tensor]:
        found = model.get_image_features(  # type: ignore[operator]
            **pixels,
            vision_feature_layer=model.config.vision_feature_layer,
            vision_feature_select_strategy=model.config.vision_feature_select_strategy,
        )
        return list(found.pooler_output)
