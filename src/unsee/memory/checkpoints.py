"""The shapes of the configuration's model, from its files on this disk or from a table of published checkpoints."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from unsee.memory.shapes import Shapes, read_shapes
from unsee.models.weight_files import read_header

#: The config.json of published checkpoints, for use before their files are on this disk.
_LLAVA_15: dict[str, Any] = {
    "model_type": "llava",
    "text_config": {"model_type": "llama", "vocab_size": 32064, "max_position_embeddings": 4096},
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "image_size": 336,
        "patch_size": 14,
    },
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "llava-hf/llava-1.5-7b-hf": _LLAVA_15,
    "MLLMMU/LLaVA_Vanilla": _LLAVA_15,  # the same model, fine-tuned
    "Qwen/Qwen2-VL-7B-Instruct": {
        "model_type": "qwen2_vl",
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": False,
        "vision_config": {
            "depth": 32,
            "embed_dim": 1280,
            "mlp_ratio": 4,
            "hidden_size": 3584,
            "patch_size": 14,
            "spatial_merge_size": 2,
        },
    },
}


def shapes_of(model: Mapping[str, Any], root: Path, picture: tuple[int, int]) -> Shapes | None:
    """The shapes of the configuration's model; ``None`` if neither this disk nor :data:`PUBLISHED` describes it.

    Args:
        model: the configuration's ``model`` section.
        root: the folder where a relative path starts.
        picture: width and height in pixels of the largest picture.
    """
    if model["build"]:
        return None
    folder = root / model["path"]
    if not folder.is_dir():
        cached = _cached(model["path"], model.get("revision"))
        if cached is None:
            published = PUBLISHED.get(model["path"])
            return None if published is None else read_shapes(published, {}, model["dtype"], picture)
        folder = cached
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        pictures = _picture_settings(folder)
        shapes = read_shapes(settings, pictures, model["dtype"], picture)
        return shapes and replace(shapes, counted=_count(folder))
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError):
        return None  # another check reports a checkpoint that cannot be read


def _cached(repository: str, revision: str | None) -> Path | None:
    """The folder of a published checkpoint in the hub's cache; computed here because planning does not import the hub library."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        return None
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    folder = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{repository.replace('/', '--')}"
    newest = folder / "refs" / "main"
    if revision is None and newest.is_file():
        revision = newest.read_text(encoding="utf-8").strip()
    snapshot = folder / "snapshots" / (revision or "")
    return snapshot if (snapshot / "config.json").is_file() else None


def _picture_settings(folder: Path) -> dict[str, Any]:
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            settings = json.loads((folder / name).read_text(encoding="utf-8"))
            return dict(settings.get("image_processor", settings))
    return {}


def _count(folder: Path) -> int | None:
    """The number of parameters in a folder's safetensors files, from their headers; ``None`` if a file is missing."""
    wanted = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        wanted = sorted(
            {folder / name for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
        )
    if not wanted or not all(path.is_file() for path in wanted):
        return None
    return sum(math.prod(shape) for path in wanted for shape in read_header(path).values())
