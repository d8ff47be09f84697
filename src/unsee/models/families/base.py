"""The interface of a model family. Code outside of this package does not ask which family a model is of.

docs/adding-a-family.md shows how to add one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel

from unsee.core.images import Size

#: The linear layers with adapters: the decoder's, those of tower and projector, or both. The last scope is that of the official
#: MLLMU-Bench code, which selects modules by the ends of their names: the decoder's layers and the tower's queries, keys and values.
Scope = Literal["language", "vision", "both", "language_and_tower_attention"]

ATTENTION = "q_proj|k_proj|v_proj|o_proj"
FEED_FORWARD = "gate_proj|up_proj|down_proj"


class Family(ABC):
    """How to load, prompt and adapt the models of one architecture.

    Every method is a pure function of its arguments. The methods with a body fit a model whose decoder is a Llama, or one like it,
    in ``model.language_model``, and whose positions are 0, 1, 2, ...

    Attributes:
        name: the value of ``model.family``.
        seam: the text between the end of the chat template's prompt and an answer.
        written_turns: whether published evaluations write turns by hand, ``USER: ... ASSISTANT:``, instead of by the chat template.
    """

    name: str
    seam: str
    written_turns: bool

    @abstractmethod
    def load(self, path: str, dtype: torch.dtype) -> PreTrainedModel:
        """Load the model of a checkpoint folder on the CPU, with :func:`unsee.models.families.loading.load_weights`."""

    @abstractmethod
    def load_processor(self, path: str) -> Any:
        """Load tokenizer, image processor and chat template, with :func:`unsee.models.families.loading.load_processor`."""

    @abstractmethod
    def preprocess(self, processor: Any, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """The inputs of the vision tower for some pictures."""

    @abstractmethod
    def image_tokens(self, model: PreTrainedModel, processor: Any, image: Size) -> int:
        """The number of placeholders that a picture takes in a prompt."""

    @abstractmethod
    def image_features(self, model: PreTrainedModel, pixels: dict[str, Tensor]) -> list[Tensor]:
        """Projected features of each picture, (tokens, hidden)."""

    @abstractmethod
    def vision_patterns(self) -> tuple[str, str]:
        """Two regular expressions (full match): all linear layers of tower and projector; the tower's queries, keys and values."""

    def image_token(self, model: PreTrainedModel) -> int:
        """Token id of the placeholder of a picture."""
        return int(model.config.image_token_id)

    def positions(
        self, model: PreTrainedModel, processor: Any, tokens: Sequence[int], images: Sequence[Size]
    ) -> np.ndarray | None:
        """Rotary positions of a prompt and its answer, (axes, n), or ``None`` for 0, 1, 2, ...

        A family with several axes returns them for a prompt without pictures too.

        Args:
            model, processor: of this family.
            tokens: token ids, with one placeholder for each feature of a picture.
            images: the sizes of the pictures, in order. Without any, a placeholder is an ordinary token.
        """
        return None

    def language_model(self, model: PreTrainedModel) -> nn.Module:
        """The decoder, which maps ``inputs_embeds`` to hidden states."""
        return cast(nn.Module, model.model.language_model)

    def linear_pattern(self, scope: Scope) -> str:
        """Regular expression (full match) of the linear layers that adapters go on."""
        language = rf"model\.language_model\..*\.({ATTENTION}|{FEED_FORWARD})"
        vision, attention = self.vision_patterns()
        return {
            "language": language,
            "vision": vision,
            "both": f"{language}|{vision}",
            "language_and_tower_attention": f"{language}|{attention}",
        }[scope]

    def feed_forward_pattern(self) -> str:
        """Regular expression (full match) of the decoder's feed-forward layers (gate, up, down)."""
        return rf"model\.language_model\..*\.mlp\.({FEED_FORWARD})"
