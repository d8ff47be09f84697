"""Loading a family's model and processor from a checkpoint folder, with every check that needs the model library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import logging

from unsee.models.checkpoints import CheckpointError
from unsee.models.weight_files import name_problems


def load_weights(kind: Any, path: str, dtype: torch.dtype) -> PreTrainedModel:
    """Load the model of a checkpoint folder on the CPU, every weight from the folder's safetensors files.

    transformers fills a weight that is missing or has another shape with random numbers. Names and shapes are therefore compared
    first, on the meta device, where no weight is read or allocated. transformers renames the weights of old layouts.

    Args:
        kind: the model's class, of transformers.
        path: the folder.
        dtype: of the weights in memory.

    Raises:
        CheckpointError: a weight is missing, unexpected, of another shape, or not finite.
    """
    options: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # its own report lists the same names and refuses nothing
    try:
        empty, names = kind.from_pretrained(
            path, dtype=dtype, device_map="meta", ignore_mismatched_sizes=True, output_loading_info=True, **options
        )
    except Exception as error:  # a wrong value in config.json can raise anything
        raise CheckpointError(path, [f"transformers cannot build its model ({_one_line(error)})"]) from error
    finally:
        logging.set_verbosity(level)
    # An output projection that shares the embeddings is missing only if they are.
    names["missing_keys"] = {
        name for name in names["missing_keys"] if empty.all_tied_weights_keys.get(name) not in names["missing_keys"]
    }
    problems = name_problems(names["missing_keys"], names["unexpected_keys"], names["mismatched_keys"])
    problems += [_one_line(error) for error in names.get("error_msgs") or []]
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


def _is_finite(weight: Tensor) -> bool:
    """Whether a tensor has neither NaN nor infinity. Unlike ``isfinite().all()``, this makes no second tensor."""
    if not weight.is_floating_point() or not weight.numel():
        return True
    least, greatest = weight.aminmax()  # NaN, if there is any
    return bool(least.isfinite() and greatest.isfinite())


def load_processor(kind: Any, path: str) -> Any:
    """Load the processor of a checkpoint folder: with a chat template, an end-of-sequence token and a placeholder.

    Args:
        kind: the processor's class, or ``AutoProcessor``.
        path: the folder.

    Raises:
        CheckpointError: it cannot be loaded or lacks one of these, or its tokenizer belongs to another model.
    """
    try:
        processor = kind.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # a damaged file can raise anything
        raise CheckpointError(path, [f"its processor cannot be loaded ({_one_line(error)})"]) from error
    tokenizer = processor.tokenizer
    if not isinstance(processor.chat_template, str):
        # Checkpoints of 2024 have it in the tokenizer's settings.
        template = processor.chat_template or tokenizer.chat_template
        processor.chat_template = template.get("default") if isinstance(template, dict) else template
    problems = []
    if processor.chat_template is None:
        problems.append("has no chat template")
    if tokenizer.eos_token_id is None:
        problems.append("its tokenizer has no eos_token, the end of each answer; expected it in tokenizer_config.json")
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
