"""What a model family must tell us. Adding a family is one file beside this one and its name below (docs/adding-a-family.md).

Nothing outside ``models/`` asks which model it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel

from unsee.images import Size

#: Where adapters go: the decoder's linears, the tower's and projector's, all of them, or (as the official MLLMU-Bench code does,
#: by the ends of names) the decoder's and the query, key and value projections of the tower.
Scope = Literal["language", "vision", "both", "language_and_tower_attention"]


class Family(Protocol):
    """The interface of a family; every method is a pure function of its arguments."""

    name: str
    #: What stands between the end of the chat template's prompt and an answer.
    seam: str
    #: Whether published evaluations write its turns by hand, ``USER: ... ASSISTANT:``, rather than by the chat template.
    written_turns: bool

    def load(self, path: str, dtype: torch.dtype, revision: str | None = None) -> PreTrainedModel:
        """The base model of a checkpoint folder (or a published one, at a revision), on the CPU, in ``dtype``, safetensors
        only."""
        ...

    def load_processor(self, path: str, revision: str | None = None) -> Any:
        """Its processor: ``tokenizer``, ``image_processor`` and chat template."""
        ...

    def image_token(self, model: PreTrainedModel) -> int:
        """Token id of the picture placeholder."""
        ...

    def preprocess(self, processor: Any, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """What the vision tower takes for some pictures."""
        ...

    def image_tokens(self, model: PreTrainedModel, processor: Any, image: Size) -> int:
        """How many placeholders one picture takes in the prompt."""
        ...

    def image_features(self, model: PreTrainedModel, pixels: dict[str, Tensor]) -> list[Tensor]:
        """Projected features of each picture, (n_tokens, hidden)."""
        ...

    def positions(
        self, model: PreTrainedModel, processor: Any, tokens: Sequence[int], images: Sequence[Size]
    ) -> np.ndarray | None:
        """Rotary positions of a prompt and its answer, (axes, n), or ``None`` for 0, 1, 2, ...

        Where a family has several axes, it gives them for a prompt without pictures too.

        Args:
            model, processor: the family's own.
            tokens: ids with placeholders expanded.
            images: the sizes of the placeholders' pictures, in order; with none, a placeholder is an ordinary token.
        """
        ...

    def language_model(self, model: PreTrainedModel) -> nn.Module:
        """The decoder: takes ``inputs_embeds``, gives hidden states."""
        ...

    def linear_pattern(self, scope: Scope) -> str:
        """Regular expression (full match) of the linear modules that adapters may go on."""
        ...

    def feed_forward_pattern(self) -> str:
        """Regular expression (full match) of the decoder's feed-forward linears (gate, up, down)."""
        ...


def family(name: str) -> Family:
    """The family of that name.

    Raises:
        ValueError: no such family.
    """
    from unsee.models.llava import Llava, LlavaChatML
    from unsee.models.llava_next import LlavaNext
    from unsee.models.qwen2_vl import Qwen2VL

    kinds: list[Family] = [Llava(), LlavaChatML(), LlavaNext(), Qwen2VL()]
    families = {kind.name: kind for kind in kinds}
    if name not in families:
        raise ValueError(f"model.family is {name!r}; expected one of {sorted(families)}")
    return families[name]
