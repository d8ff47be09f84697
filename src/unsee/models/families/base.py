"""What a model family must tell us. Adding a family is one file beside this one and its name below (docs/adding-a-family.md).

Nothing outside ``models/`` asks which model it has.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import logging

from unsee.core.images import Size
from unsee.models.checkpoints import CheckpointError

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

    def load(self, path: str, dtype: torch.dtype) -> PreTrainedModel:
        """The base model of a checkpoint folder, on the CPU, in ``dtype``; by :func:`load_weights`."""
        ...

    def load_processor(self, path: str) -> Any:
        """Its processor: ``tokenizer``, ``image_processor`` and chat template; by :func:`load_processor`."""
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
    from unsee.models.families.llava import Llava, LlavaChatML
    from unsee.models.families.llava_next import LlavaNext
    from unsee.models.families.qwen2_vl import Qwen2VL

    kinds: list[Family] = [Llava(), LlavaChatML(), LlavaNext(), Qwen2VL()]
    families = {kind.name: kind for kind in kinds}
    if name not in families:
        raise ValueError(f"model.family is {name!r}; expected one of {sorted(families)}")
    return families[name]


def load_weights(kind: Any, path: str, dtype: torch.dtype) -> PreTrainedModel:
    """The model of a checkpoint folder, on the CPU, every weight of it read from the folder's safetensors files.

    transformers fills a missing or mis-shaped weight with random numbers, others at each load. Names and shapes are therefore compared
    first, on the meta device, where no weight is read or allocated; old layouts are renamed as transformers does.

    Args:
        kind: the model's class, a transformers model.
        path: the folder.
        dtype: of the weights in memory.

    Raises:
        CheckpointError: missing, unexpected or mis-shaped weights; one that is not finite.
    """
    options: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # its report lists the same names without refusing them
    try:
        empty, names = kind.from_pretrained(
            path, dtype=dtype, device_map="meta", ignore_mismatched_sizes=True, output_loading_info=True, **options
        )
    except Exception as error:  # whatever a wrong value in config.json leads to
        raise CheckpointError(path, [f"transformers cannot build its model ({_one_line(error)})"]) from error
    finally:
        logging.set_verbosity(level)
    # A head that shares the embeddings is missing only because these are.
    names["missing_keys"] = {
        name for name in names["missing_keys"] if empty.all_tied_weights_keys.get(name) not in names["missing_keys"]
    }
    problems = _name_problems(names)
    if problems:
        raise CheckpointError(path, problems)
    model = cast(PreTrainedModel, kind.from_pretrained(path, dtype=dtype, **options))
    problems = [
        f"{name} holds values that are not finite as {str(dtype).removeprefix('torch.')} (NaN or infinite)"
        for name, weight in model.state_dict().items()
        if not _is_finite(weight)
    ]
    if problems:
        raise CheckpointError(path, problems)
    return model


def _name_problems(names: dict[str, Any]) -> list[str]:
    problems = []
    for kind, what in (("missing_keys", "lacks"), ("unexpected_keys", "has unexpectedly")):
        if listed := sorted(names[kind]):
            more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
            weights = "weight" if len(listed) == 1 else "weights"
            problems.append(f"{what} {len(listed)} {weights}: {', '.join(listed[:3])}{more}")
    for name, stored, expected in sorted(names["mismatched_keys"]):
        problems.append(f"{name} has the shape {tuple(stored)}; expected {tuple(expected)} by config.json")
    return problems + [_one_line(error) for error in names.get("error_msgs") or []]


def _is_finite(weight: Tensor) -> bool:
    """Whether a tensor has neither NaN nor infinity; unlike ``isfinite().all()``, without a second tensor."""
    if not weight.is_floating_point() or not weight.numel():
        return True
    least, greatest = weight.aminmax()  # NaN, if there is any
    return bool(least.isfinite() and greatest.isfinite())


def load_processor(kind: Any, path: str) -> Any:
    """The processor of a checkpoint folder, with what is asked of it later: a chat template, an end and a placeholder.

    Args:
        kind: the processor's class, or ``AutoProcessor``.
        path: the folder.

    Raises:
        CheckpointError: it cannot be loaded, or lacks one of these; or its tokenizer is not the model's.
    """
    try:
        processor = kind.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # whatever a damaged file leads to
        raise CheckpointError(path, [f"its processor cannot be loaded ({_one_line(error)})"]) from error
    tokenizer = processor.tokenizer
    if not isinstance(processor.chat_template, str):
        # In folders of 2024 it is the tokenizer's.
        template = processor.chat_template or tokenizer.chat_template
        processor.chat_template = template.get("default") if isinstance(template, dict) else template
    problems = []
    if processor.chat_template is None:
        problems.append("has no chat template")
    if tokenizer.eos_token_id is None:
        problems.append("its tokenizer has no eos_token; expected it in tokenizer_config.json, for answers end with it")
    config = json.loads((Path(path) / "config.json").read_text(encoding="utf-8"))
    tokens = tokenizer(processor.image_token, add_special_tokens=False)["input_ids"]
    expected = config.get("image_token_id", config.get("image_token_index"))
    if expected is not None and tokens != [expected]:
        problems.append(
            f"its tokenizer writes {processor.image_token} as {tokens}; expected [{expected}], the token in config.json"
        )
    rows = (config.get("text_config") or {}).get("vocab_size", config.get("vocab_size"))
    if rows is not None and len(tokenizer) > rows:
        problems.append(f"its tokenizer has {len(tokenizer)} tokens; expected at most {rows}, as in config.json")
    if problems:
        raise CheckpointError(path, problems)
    return processor


def _one_line(error: object) -> str:
    text = " ".join(str(error).split())
    shown = text if len(text) < 300 else f"{text[:296]} ..."
    return f"{type(error).__name__}: {shown}" if isinstance(error, BaseException) else shown
