"""Qwen2-VL: a tower that takes pictures in their own shape, a merger, a Qwen2 decoder with rotary positions of three axes.

A picture takes as many tokens as its size asks for. Its tokens share one position in time and have their row and column as the
other two; the words behind go on from the largest of them (M-RoPE, Qwen2-VL, arXiv 2409.12191, section 2.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel, ProcessorMixin, Qwen2VLForConditionalGeneration
from transformers import Qwen2VLProcessor as ProcessorWithVideos
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from unsee.core.images import Size
from unsee.models.families.base import Scope, load_processor, load_weights

_ATTENTION = "q_proj|k_proj|v_proj|o_proj"
_FEED_FORWARD = "gate_proj|up_proj|down_proj"
_TOWER = r"blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"
_MERGER = r"merger\.mlp\.[02]"


class Qwen2VLProcessor(ProcessorWithVideos):
    """The published processor without its part for videos, which cannot be loaded without torchvision."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


class Qwen2VL:
    """See :class:`unsee.models.families.base.Family`."""

    name = "qwen2_vl"
    seam = ""  # the template ends in a new line
    written_turns = False

    def load(self, path: str, dtype: torch.dtype) -> PreTrainedModel:
        return load_weights(Qwen2VLForConditionalGeneration, path, dtype)

    def load_processor(self, path: str) -> Any:
        return load_processor(Qwen2VLProcessor, path)

    def image_token(self, model: PreTrainedModel) -> int:
        return int(model.config.image_token_id)

    def preprocess(self, processor: Any, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        found = processor.image_processor(list(images), return_tensors="pt")
        return {name: found[name] for name in ("pixel_values", "image_grid_thw")}

    def image_tokens(self, model: PreTrainedModel, processor: Any, image: Size) -> int:
        rows, columns = self._grid(processor, image)
        return rows * columns

    def image_features(self, model: PreTrainedModel, pixels: dict[str, Tensor]) -> list[Tensor]:
        found = model.get_image_features(**pixels)  # type: ignore[operator]
        return list(found.pooler_output)

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

    def language_model(self, model: PreTrainedModel) -> nn.Module:
        return cast(nn.Module, model.model.language_model)

    def linear_pattern(self, scope: Scope) -> str:
        language = rf"model\.language_model\..*\.({_ATTENTION}|{_FEED_FORWARD})"
        vision = rf"model\.visual\.({_TOWER}|{_MERGER})"
        return {
            "language": language,
            "vision": vision,
            "both": f"{language}|{vision}",
            "language_and_tower_attention": rf"{language}|model\.visual\.blocks\.\d+\.attn\.qkv",
        }[scope]

    def feed_forward_pattern(self) -> str:
        return rf"model\.language_model\..*\.mlp\.({_FEED_FORWARD})"

    def _grid(self, processor: Any, image: Size) -> tuple[int, int]:
        """Rows and columns of tokens that a picture becomes."""
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
