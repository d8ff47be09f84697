"""Qwen2-VL: a tower for pictures of any shape, a merger, and a Qwen2 decoder with rotary positions of three axes.

Wang et al. 2024, https://arxiv.org/abs/2409.12191

The number of tokens of a picture depends on its size. Its tokens share one position in time; their other two positions are row and
column. The text after a picture continues from the largest position (M-RoPE, section 2.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin, Qwen2VLForConditionalGeneration
from transformers import Qwen2VLProcessor as ProcessorWithVideos
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from unsee.core.images import Size
from unsee.models.families.base import Family
from unsee.models.families.loading import load_processor, load_weights


class Qwen2VLProcessor(ProcessorWithVideos):
    """The published processor without video support, which needs torchvision."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


class Qwen2VL(Family):
    name = "qwen2_vl"
    seam = ""  # the chat template ends in a new line
    written_turns = False

    def load(self, path: str, dtype: torch.dtype) -> PreTrainedModel:
        return load_weights(Qwen2VLForConditionalGeneration, path, dtype)

    def load_processor(self, path: str) -> Any:
        return load_processor(Qwen2VLProcessor, path)

    def preprocess(self, processor: Any, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        inputs = processor.image_processor(list(images), return_tensors="pt")
        return {name: inputs[name] for name in ("pixel_values", "image_grid_thw")}

    def image_tokens(self, model: PreTrainedModel, processor: Any, image: Size) -> int:
        rows, columns = self._grid(processor, image)
        return rows * columns

    def image_features(self, model: PreTrainedModel, pixels: dict[str, Tensor]) -> list[Tensor]:
        return list(model.get_image_features(**pixels).pooler_output)  # type: ignore[operator]

    def positions(
        self, model: PreTrainedModel, processor: Any, tokens: Sequence[int], images: Sequence[Size]
    ) -> np.ndarray | None:
        token, done, position = self.image_token(model), 0, 0
        parts: list[np.ndarray] = []

        def words(until: int) -> None:
            nonlocal done, position
            parts.append(np.tile(position + np.arange(until - done), (3, 1)))
            position += until - done
            done = until

        for image in images:
            words(list(tokens).index(token, done))
            rows, columns = self._grid(processor, image)
            place = np.arange(rows * columns)
            parts.append(position + np.stack([0 * place, place // columns, place % columns]))
            # A picture of 3 x 5 tokens takes 5 positions of the words that follow, not 15.
            position += max(rows, columns)
            done += rows * columns
        words(len(tokens))
        return np.concatenate(parts, axis=1)

    def vision_patterns(self) -> tuple[str, str]:
        blocks = r"model\.visual\.blocks\.\d+\."
        return (
            rf"{blocks}(attn\.(qkv|proj)|mlp\.(fc1|fc2))|model\.visual\.merger\.mlp\.[02]",
            rf"{blocks}attn\.qkv",
        )

    def _grid(self, processor: Any, image: Size) -> tuple[int, int]:
        """Rows and columns of the tokens of a picture."""
        settings = processor.image_processor
        side = settings.patch_size * settings.merge_size
        height, width = smart_resize(
            image.height,
            image.width,
            factor=side,
            min_pixels=settings.size["shortest_edge"],
            max_pixels=settings.size["longest_edge"],
        )
        return height // side, width // side
