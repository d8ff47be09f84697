"""What a run stores of its model: two files of the same names whatever its kind, so that no rule and no job need know the kind.

``adapter_config.json`` says which kind it is, ``adapter_model.safetensors`` holds all that is read:

adapter
    PEFT's own files, which have no ``kind``: low-rank matrices or whole modules.
gates
    One number for each neuron, see :mod:`unsee.models.gates`.
instruction
    A text in front of every question, see :class:`Instruction`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from unsee.core.failures import JobError
from unsee.core.files import atomic_write, sha256

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


class AdapterError(JobError):
    """The weights of an adapter are not those that its training run wrote."""


class Result(Protocol):
    """The result of a method that does not train."""

    @property
    def kind(self) -> str:
        """The kind that ``adapter_config.json`` names."""

    def save(self, folder: Path) -> None:
        """Write the two files."""


def write(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], text: str | None = None) -> None:
    """Write a result that is no PEFT adapter.

    Args:
        folder: The folder of the two files, replaced as a whole.
        config: The content of ``adapter_config.json``, with ``kind``.
        tensors: The numbers.
        text: A text that is part of the result: the digest of the weights' file covers it.
    """
    with atomic_write(folder) as part:
        part.mkdir()
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, part / WEIGHTS, metadata=None if text is None else {"text": text})
        (part / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def check(folder: Path) -> None:
    """Compare a result with the manifest beside its folder, if there is one.

    Raises:
        AdapterError: The digest of the weights' file differs from the manifest's.
    """
    manifest = folder.parent / "manifest.json"
    if not manifest.is_file():
        return
    expected = json.loads(manifest.read_text(encoding="utf-8"))["adapter_sha256"]
    digest = sha256(folder / WEIGHTS)
    if digest != expected:
        raise AdapterError(
            f"the adapter {folder} is damaged: its weights have sha256 {digest[:12]}..., {manifest} says {expected[:12]}...",
            f"delete {folder} and give the same command again: it is made anew",
        )


def config_of(folder: Path) -> dict[str, Any]:
    """The content of ``adapter_config.json``, with ``kind``: ``adapter`` for PEFT's.

    Raises:
        ValueError: The kind is none of those of this module.
    """
    config: dict[str, Any] = {"kind": "adapter"} | json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if config["kind"] not in ("adapter", "gates", "instruction"):
        raise ValueError(f"{folder / CONFIG}: kind is {config['kind']!r}; expected adapter, gates or instruction")
    return config


@dataclass(frozen=True)
class Instruction:
    """A text in front of every question; the weights stay those of vanilla."""

    text: str
    kind: ClassVar[str] = "instruction"

    def save(self, folder: Path) -> None:
        """Write the two files."""
        write(folder, {"kind": self.kind}, {}, self.text)


def instruction_of(folder: Path) -> str:
    """The text in front of every question; empty for results of other kinds."""
    if config_of(folder)["kind"] != "instruction":
        return ""
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        return str(file.metadata()["text"])
