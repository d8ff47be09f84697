"""One checkpoint with every update of a run in its weights, which plain transformers loads."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from unsee.models.checkpoints import folder_of
from unsee.models.half import HalfEmbedding, HalfLinear
from unsee.models.model import DTYPES, load
from unsee.models.weight_files import INDEX

#: Files of a base model that are not copied: its weights and model card, which are written anew, and code, which is never run.
_NOT_COPIED = {".safetensors", ".bin", ".pt", ".pth", ".md", ".py", ".h5", ".msgpack"}
_WRITTEN = {"config.json", "generation_config.json", INDEX, "pytorch_model.bin.index.json"}


@dataclass(frozen=True)
class Rounding:
    """What rounding does to the last update of a run: unlearning, or the learning of vanilla and retain-only models.

    Attributes:
        matrices: how many weights the update changed.
        noise: the length of what rounding adds to these weights, in lengths of the update: ``|round(W) - W| / |W - V|``, where V are
            the weights before the update.
        lost: the share of the numbers that the update changed and that are rounded to the same number with it and without.
    """

    matrices: int
    noise: float
    lost: float


def write(
    spec: Mapping[str, Any], adapters: Sequence[Path], folder: Path, dtype: str, shard_size: str
) -> Rounding | None:
    """Write weights, configuration, tokenizer and processor.

    Args:
        spec: what :func:`unsee.models.model.load` needs.
        adapters: the results of runs, in order.
        folder: is created.
        dtype: of the weights that are written.
        shard_size: the largest size of a file of weights, as transformers writes sizes: ``5GB``.

    Returns:
        What rounding took away; None where the weights are written as the run's model computes with them, in float32.
    """
    model = load(dict(spec), adapters, to_gpu=False).base
    _make_plain(model)
    rounding = None
    if dtype != "float32":
        before = load(dict(spec), adapters[:-1], to_gpu=False).base
        _make_plain(before)
        rounding = _rounding(before.state_dict(), model.state_dict(), DTYPES[dtype])
    model.to(DTYPES[dtype])  # type: ignore[arg-type]
    model.tie_weights()
    model.set_attn_implementation("sdpa")  # the run's own way to attend is not in transformers
    model.save_pretrained(str(folder), max_shard_size=shard_size)
    copy_files(folder_of(spec), folder)
    return rounding


def copy_files(base: Path, folder: Path) -> None:
    """Copy tokenizer, processor, chat template and licence of a base model."""
    for file in sorted(base.iterdir()):
        kept = not file.name.startswith(".") and file.suffix not in _NOT_COPIED and file.name not in _WRITTEN
        if file.is_file() and kept:
            shutil.copyfile(file, folder / file.name)


@torch.no_grad()
def _make_plain(model: PreTrainedModel) -> None:
    """Turn layers that keep updates beside their weights into ordinary ones, in place."""
    for module in model.modules():
        if isinstance(module, HalfLinear):
            changed = any(part is not None for part in (module.down, module.input_gate, module.output_gate))
            if changed:
                module.widen()
            else:  # it may share its weight with the embeddings
                module.__class__ = nn.Linear  # type: ignore[assignment]
        elif isinstance(module, HalfEmbedding):
            module.__class__ = nn.Embedding  # type: ignore[assignment]


def _rounding(before: Mapping[str, Tensor], after: Mapping[str, Tensor], dtype: torch.dtype) -> Rounding:
    """Compare the weights before and after an update, weight by weight, with their rounded values."""
    matrices, changed, lost, noise, length = 0, 0, 0, 0.0, 0.0
    for name in before:
        if not before[name].is_floating_point():
            continue
        old, new = before[name].float(), after[name].float()
        is_changed = old != new
        if not bool(is_changed.any()):
            continue
        matrices += 1
        changed += int(is_changed.sum())
        lost += int((is_changed & (old.to(dtype) == new.to(dtype))).sum())
        noise += float((new.to(dtype).float() - new).double().square().sum())
        length += float((new - old).double().square().sum())
    return Rounding(matrices, (noise / length) ** 0.5 if length else 0.0, lost / changed if changed else 0.0)
