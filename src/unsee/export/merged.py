"""One checkpoint with every update of a run in its weights, which plain transformers loads."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from unsee.models.checkpoints import folder_of
from unsee.models.families import load_family
from unsee.models.half import HalfEmbedding, HalfLinear
from unsee.models.model import DTYPES, load
from unsee.models.weight_files import INDEX

#: Files of a base model that are not copied: its weights and model card, which are written anew, and code, which is never run.
_NOT_COPIED = {".safetensors", ".bin", ".pt", ".pth", ".md", ".py", ".h5", ".msgpack"}
_WRITTEN = {"config.json", "generation_config.json", INDEX, "pytorch_model.bin.index.json"}


@dataclass(frozen=True)
class Rounding:
    """What is left of an update after its weights were rounded.

    Attributes:
        matrices: how many weights the run changed.
        kept: the part of the update that is left, measured along the update: ``<round(W + D) - W, D> / <D, D>`` over all of them.
        unchanged: the share of the numbers with an update that are rounded back to the base model's.
    """

    matrices: int
    kept: float
    unchanged: float


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
    rounding = None if dtype == "float32" else _rounding(dict(spec), model, DTYPES[dtype])
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


def _rounding(spec: dict[str, Any], model: PreTrainedModel, dtype: torch.dtype) -> Rounding:
    """Compare a model with its base model, weight by weight, before and after rounding."""
    base = load_family(spec["family"]).load(spec["path"], DTYPES[spec["dtype"]]).state_dict()
    matrices, along, length, changed, unchanged = 0, 0.0, 0.0, 0, 0
    for before, after in _pairs(base, model.state_dict()):
        update = after - before
        if not bool(update.any()):
            continue
        left = after.to(dtype).float() - before
        matrices += 1
        along += float((left * update).sum(dtype=torch.float64))
        length += float((update * update).sum(dtype=torch.float64))
        changed += int(update.count_nonzero())
        unchanged += int(((update != 0) & (left == 0)).sum())
    return Rounding(matrices, along / length if length else 1.0, unchanged / changed if changed else 0.0)


def _pairs(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    for name, weight in before.items():
        if weight.is_floating_point():
            yield weight.float(), after[name].float()
