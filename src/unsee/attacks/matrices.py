"""The matrices that attacks on weights change."""

from __future__ import annotations

import re
from typing import Literal

from torch import nn

from unsee.models.half import HalfLinear
from unsee.models.model import VisionLanguageModel

#: The decoder's attention and feed-forward layers; the linear layers of vision tower and projector; or both.
Part = Literal["language", "vision", "both"]


def matrices(vlm: VisionLanguageModel, part: Part) -> list[tuple[str, nn.Linear]]:
    """The linear layers of a part of a model by name, with float32 weights that hold all updates.

    Weights in half precision and the updates beside them are added up in float32, which takes twice their memory, so that an
    attack acts on the weights that a user of the merged model would have. Embeddings and the output projection are left out.
    """
    pattern = re.compile(vlm.family.linear_pattern(part))
    layers = [(name, module) for name, module in vlm.base.named_modules() if pattern.fullmatch(name)]
    for _, layer in layers:
        if isinstance(layer, HalfLinear):
            layer.widen()
    return layers
