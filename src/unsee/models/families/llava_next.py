"""LLaVA-NeXT (1.6): a LLaVA that also cuts a picture into tiles of the tower's size; several kinds of decoder.

Liu et al. 2024, https://llava-vl.github.io/blog/2024-01-30-llava-next/

A picture takes the tokens of the whole picture at the tower's size, then those of its tiles, row by row, without padding. A learned
token ends each row. All of them are adjacent in the prompt and have the positions 0, 1, 2, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import LlavaNextForConditionalGeneration, PreTrainedModel

from unsee.core.images import Size
from unsee.models.families.llava import Llava
from unsee.models.families.loading import load_weights


class LlavaNext(Llava):
    """Modules have the same names as in a LLaVA."""

    name = "llava_next"

    def load(self, path: str, dtype: torch.dtype) -> PreTrainedModel:
        return load_weights(LlavaNextForConditionalGeneration, path, dtype)

    def preprocess(self, processor: Any, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        inputs = processor.image_processor(list(images), return_tensors="pt")
        return {name: inputs[name] for name in ("pixel_values", "image_sizes")}

    def image_tokens(self, model: PreTrainedModel, processor: Any, image: Size) -> int:
        counts = processor._get_num_multimodal_tokens(image_sizes=[(image.height, image.width)])
        return int(counts["num_image_tokens"][0])
