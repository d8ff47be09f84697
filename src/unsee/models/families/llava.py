"""LLaVA-1.5: a CLIP tower, a projector of two layers and a Llama decoder; every picture takes the same number of tokens.

Liu et al. 2023, https://arxiv.org/abs/2310.03744
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor, LlavaForConditionalGeneration, PreTrainedModel

from unsee.core.images import Size
from unsee.models.families.base import Family
from unsee.models.families.loading import load_processor, load_weights


class Llava(Family):
    name = "llava"
    seam = " "
    written_turns = True

    def load(self, path: str, dtype: torch.dtype) -> PreTrainedModel:
        return load_weights(LlavaForConditionalGeneration, path, dtype)

    def load_processor(self, path: str) -> Any:
        return load_processor(AutoProcessor, path)

    def preprocess(self, processor: Any, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        return {"pixel_values": processor.image_processor(list(images), return_tensors="pt")["pixel_values"]}

    def image_tokens(self, model: PreTrainedModel, processor: Any, image: Size) -> int:
        vision = model.config.vision_config
        tokens = (vision.image_size // vision.patch_size) ** 2
        return int(tokens if model.config.vision_feature_select_strategy == "default" else tokens + 1)

    def image_features(self, model: PreTrainedModel, pixels: dict[str, Tensor]) -> list[Tensor]:
        output = model.get_image_features(  # type: ignore[operator]
            **pixels,
            vision_feature_layer=model.config.vision_feature_layer,
            vision_feature_select_strategy=model.config.vision_feature_select_strategy,
        )
        return list(output.pooler_output)

    def vision_patterns(self) -> tuple[str, str]:
        tower, projector = r"model\.vision_tower\..*\.", r"model\.multi_modal_projector\.linear_[12]"
        return (
            rf"{tower}(q_proj|k_proj|v_proj|out_proj|fc1|fc2)|{projector}",
            rf"{tower}(q_proj|k_proj|v_proj)",
        )


class LlavaChatML(Llava):
    """A LLaVA whose decoder was trained on ChatML's turns, such as SmolLM2: a prompt ends in a new line."""

    name = "llava_chatml"
    seam = ""
