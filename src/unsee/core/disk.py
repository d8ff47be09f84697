"""Whether there is room for what a run writes: an estimate from below, made before the first job and without a model library."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Bytes of a number of an adapter and of a feature: both are kept in float32.
FLOAT = 4


class RoomError(RuntimeError):
    """Results cannot be written."""


def local(path: str) -> Path:
    """The folder of a checkpoint: as it is, or where the Hugging Face cache has it, which need not be there."""
    if Path(path).is_dir():
        return Path(path)
    home = Path(os.environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser())
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = sorted((hub / f"models--{path.replace('/', '--')}" / "snapshots").glob("*"))
    return snapshots[-1] if snapshots else Path(path)


def adapter_bytes(checkpoint: Path, rank: int, scope: str) -> int:
    """The size of a low-rank adapter on the linear modules of a checkpoint; 0 where its weights are not there to look at.

    Args:
        checkpoint: a folder with ``*.safetensors``; only their headers are read.
        rank: of the adapter.
        scope: ``lora.scope``; what is not ``language`` counts the tower's modules too, or these alone.
    """
    numbers = 0
    for name, shape in _shapes(checkpoint).items():
        if len(shape) != 2 or not re.search(r"\b(layers|blocks)\.\d+\.", name):
            continue
        in_tower = "vision" in name or "visual" in name
        if scope not in ("language", "vision") or in_tower == (scope == "vision"):
            numbers += rank * sum(shape)
    return numbers * FLOAT


def picture_bytes(checkpoint: Path) -> int:
    """The size of one picture's features in ``results/cache``; 0 where the number of its tokens depends on the picture."""
    try:
        config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
        return int(config["image_seq_length"]) * int(config["text_config"]["hidden_size"]) * FLOAT
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return 0


def check(folder: Path, sizes: Mapping[str, int]) -> None:
    """Refuse to begin what cannot be finished.

    Args:
        folder: where results are written; it need not be there yet.
        sizes: what is going to be written, in words, and the bytes that it takes at least.

    Raises:
        RoomError: the folder cannot be written to, or its disk has less room.
    """
    place = folder
    while not place.exists() and not place.is_symlink() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise RoomError(
            f"{folder}: cannot be written to ({os.strerror(error.errno or 0)}); expected a folder of yours: mend its rights, or "
            "work elsewhere with --directory FOLDER"
        ) from None
    if sum(sizes.values()) > free:
        parts = ", ".join(f"{what} {_shown(size)}" for what, size in sizes.items() if size)
        raise RoomError(
            f"{folder}: {_shown(free)} are free there; expected at least {_shown(sum(sizes.values()))} ({parts}); make room, or "
            "work on another disk with --directory FOLDER"
        )


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _shapes(checkpoint: Path) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = {}
    for file in sorted(checkpoint.glob("*.safetensors")):
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not length <= file.stat().st_size:
                continue  # damaged; whoever loads it says so
            try:
                header: dict[str, Any] = json.loads(stream.read(length))
                shapes |= {
                    name: [int(n) for n in part["shape"]] for name, part in header.items() if name != "__metadata__"
                }
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
    return shapes
