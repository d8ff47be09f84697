"""Check before the first job that the disk has room for the results. The estimate is a lower bound and needs no model library."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Bytes of a float32, in which adapters and features are stored.
FLOAT = 4


class RoomError(RuntimeError):
    """The folder for results is not writable, or its disk is too full."""


def local(path: str) -> Path:
    """The folder of a checkpoint: the path itself, or its folder in the Hugging Face cache, which may not exist."""
    if Path(path).is_dir():
        return Path(path)
    home = Path(os.environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser())
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = sorted((hub / f"models--{path.replace('/', '--')}" / "snapshots").glob("*"))
    return snapshots[-1] if snapshots else Path(path)


def adapter_bytes(checkpoint: Path, rank: int, scope: str) -> int:
    """The size of a low-rank adapter on the linear modules of a checkpoint; 0 if its weights are not on this machine.

    Args:
        checkpoint: a folder with ``*.safetensors``; only their headers are read.
        rank: the adapter's rank.
        scope: ``lora.scope``: ``language``, ``vision``, or another value for both.
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
    """The size of one picture's features in ``results/cache``; 0 if the number of tokens depends on the picture."""
    try:
        config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
        return int(config["image_seq_length"]) * int(config["text_config"]["hidden_size"]) * FLOAT
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return 0


def check(folder: Path, sizes: Mapping[str, int], option: str = "--directory") -> None:
    """Check that results can be written and fit on the disk.

    Args:
        folder: the folder for results; it need not exist yet.
        sizes: the bytes that each kind of result takes at least, by its description.
        option: the option of the command line that names another folder.

    Raises:
        RoomError: the folder is not writable, or its disk has less room.
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
            f"work elsewhere with {option} FOLDER"
        ) from None
    if sum(sizes.values()) > free:
        parts = ", ".join(f"{what} {_shown(size)}" for what, size in sizes.items() if size)
        raise RoomError(
            f"{folder}: {_shown(free)} are free there; expected at least {_shown(sum(sizes.values()))} ({parts}); make room, or "
            f"work on another disk with {option} FOLDER"
        )


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _shapes(checkpoint: Path) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = {}
    for file in sorted(checkpoint.glob("*.safetensors")):
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not length <= file.stat().st_size:
                continue  # damaged; loading reports it
            try:
                header: dict[str, Any] = json.loads(stream.read(length))
                shapes |= {
                    name: [int(n) for n in part["shape"]] for name, part in header.items() if name != "__metadata__"
                }
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
    return shapes
