"""One PEFT adapter on the base model with every update of a run, which plain peft loads.

A run's model is the base model with two low-rank updates, vanilla's and the unlearned model's. Their sum is a low-rank update of the
summed rank: ``s1 B1 A1 + s2 B2 A2 = [s1 B1, s2 B2] [A1; A2]``. A module that the second adapter replaces as a whole (PEFT's
``modules_to_save``) has vanilla's update in it already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import Tensor

from unsee.export.finished_run import ExportError
from unsee.models import stored

_LORA = re.compile(r"(?P<module>base_model\.model\..+)\.lora_(?P<side>[AB])\.weight$")
#: Features of PEFT that change what an adapter computes and that no method uses.
_OTHER_KINDS = ("use_dora", "use_rslora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "lora_bias")
_REMEDY = "leave --adapters out: the merged checkpoint holds every kind of update"


@dataclass(frozen=True)
class _Adapter:
    """A stored adapter: ``B A`` with the scaling in B, and whole modules' weights, by names in the file."""

    low_rank: Mapping[str, tuple[Tensor, Tensor]]
    whole: Mapping[str, Tensor]
    modules_to_save: Sequence[str]


def write(adapters: Sequence[Path], folder: Path, base_model: str | None) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``, in float32.

    Args:
        adapters: the folders of one or two stacked adapters.
        folder: is created.
        base_model: the published base model's name; None for a base model in a folder.

    Raises:
        ExportError: a result is no adapter.
    """
    parts = [_read(adapter) for adapter in adapters]
    if any(part.whole for part in parts[:-1]):
        raise ExportError(f"{adapters[0]}: replaces whole modules below another adapter", _REMEDY)
    replaced = [name for part in parts for name in part.modules_to_save]
    rank = sum(max((len(down) for down, _ in part.low_rank.values()), default=0) for part in parts)
    tensors: dict[str, Tensor] = dict(parts[-1].whole)
    modules = sorted({name for part in parts for name in part.low_rank if _module(name) not in replaced})
    for name in modules:
        down, up = _stacked([part.low_rank[name] for part in parts if name in part.low_rank], rank)
        tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"] = down, up
    config = LoraConfig(
        r=max(rank, 1),
        lora_alpha=max(rank, 1),  # B has the scaling
        lora_dropout=0.0,
        target_modules=[_module(name) for name in modules] or "dummy-target-modules",
        modules_to_save=replaced or None,
        bias="none",
        task_type=None,
        inference_mode=True,
        base_model_name_or_path=base_model,
    )
    folder.mkdir()
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, folder / stored.WEIGHTS, {"format": "pt"}
    )
    content = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    (folder / stored.CONFIG).write_text(
        json.dumps(content, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8"
    )


def _read(folder: Path) -> _Adapter:
    config: dict[str, Any] = stored.config_of(folder)
    if config["kind"] != "adapter":
        raise ExportError(f"{folder}: is of the kind {config['kind']}, which is no low-rank update", _REMEDY)
    used = [key for key in _OTHER_KINDS if config.get(key)]
    if config["peft_type"] != "LORA" or used:
        raise ExportError(f"{folder}: uses {', '.join(used) or config['peft_type']} of PEFT", _REMEDY)
    tensors, sides, whole = load_file(folder / stored.WEIGHTS), dict[str, dict[str, Tensor]](), dict[str, Tensor]()
    for name, tensor in tensors.items():
        if match := _LORA.match(name):
            sides.setdefault(match["module"], {})[match["side"]] = tensor.float()
        else:
            whole[name] = tensor
    scaling = config["lora_alpha"] / config["r"]
    low_rank = {name: (pair["A"], pair["B"] * scaling) for name, pair in sides.items()}
    return _Adapter(low_rank, whole, config.get("modules_to_save") or [])


def _stacked(updates: Sequence[tuple[Tensor, Tensor]], rank: int) -> tuple[Tensor, Tensor]:
    """A and B of the summed update, with zeros up to the rank that all modules have."""
    down = torch.cat([part[0] for part in updates])
    up = torch.cat([part[1] for part in updates], dim=1)
    missing = rank - len(down)
    return torch.nn.functional.pad(down, (0, 0, 0, missing)), torch.nn.functional.pad(up, (0, missing))


def _module(name: str) -> str:
    return name.removeprefix("base_model.model.")
