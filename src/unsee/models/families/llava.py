"""LLaVA-1.5: a CLIP tower, a two-layer projector, a Llama decoder; a fixed number of tokens a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoProcessor, LlavaForConditionalGeneration, PreTrainedModel

from unsee.core.images import Size
from unsee.models.families.base import Scope, load_processor, load_weights

_ATTENTION = "q_proj|k_proj|v_proj|o_proj"
_FEED_FORWARD = "gate_proj|up_proj|down_proj"
_TOWER = "q_proj|k_proj|v_proj|out_proj|fc1|fc2"
_PROJECTOR = r"model\.multi_modal_projector\.linear_[12]"


class Llava:
    """See :class:`unsee.models.families.base.Family`."""

    name = "llava"
    seam = " "
    written_turns = True

    def load(self, path: str, dtype: torch.dtype) -> PreTrainedModel:
        return load_weights(LlavaForConditionalGeneration, path, dtype)

    def load_processor(self, path: str) -> Any:
        return load_processor(AutoProcessor, path)

    def image_token(self, model: PreTrainedModel) -> int:
        return int(model.config.image_token_id)

    def preprocess(self, processor: Any, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        return {"pixel_values": processor.image_processor(list(images), return_tensors="pt")["pixel_values"]}

    def image_tokens(self, model: PreTrainedModel, processor: Any, image: Size) -> int:
        vision = model.config.vision_config
        tokens = (vision.image_size // vision.patch_size) ** 2
        return int(tokens if model.config.vision_feature_select_strategy == "default" else tokens + 1)

    def image_features(self, model: PreTrainedModel, pixels: dict[str, Tensor]) -> list[Tensor]:
        return list(
            model.get_image_features(  # type: ignore[operator]
                pixels["pixel_values"],
                vision_feature_layer=model.config.vision_feature_layer,
                vision_feature_select_strategy=model.config.vision_feature_select_strategy,
            ).pooler_output
        )

    def positions(
        self, model: PreTrainedModel, processor: Any, tokens: Sequence[int], images: Sequence[Size]
    ) -> np.ndarray | None:
        return None

    def language_model(self, model: PreTrainedModel) -> nn.Module:
        return cast(nn.Module, model.model.language_model)

    def linear_pattern(self, scope: Scope) -> str:
        language = rf"model\.language_model\..*\.({_ATTENTION}|{_FEED_FORWARD})"
        vision = rf"model\.vision_tower\..*\.({_TOWER})|{_PROJECTOR}"
        return {
            "language": language,
            "vision": vision,
            "both": f"{language}|{vision}",
            "language_and_tower_attention": rf"{language}|model\.vision_tower\..*\.(q_proj|k_proj|v_proj)",
        }[scope]

    def feed_forward_pattern(self) -> str:
        return rf"model\.language_model\..*\.mlp\.({_FEED_FORWARD})"


class LlavaChatML(Llava):
    """The same around a decoder that was taught ChatML's turns, such as SmolLM2: they end in a new line."""

    name = "llava_chatml"
    seam = ""
