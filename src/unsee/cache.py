"""Tensors that several jobs need: computed by the first, found by the others, by what they are made from.

A folder of safetensors files, each named by a digest of everything that decides its content, so that nothing in it is ever out of
date and any of it may be deleted at any time. Tensors come back memory-mapped: jobs on one machine share one copy of them, and
none holds more than it looks at.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

_PACKAGES = ("torch", "transformers", "peft", "pillow")


def digest(*parts: str | bytes | Path | Tensor) -> str:
    """A name for these contents, of texts, bytes, files or tensors; never for their places."""
    whole = hashlib.sha256()
    for part in parts:
        one = hashlib.sha256()
        if isinstance(part, Path):
            with part.open("rb") as file:
                one = hashlib.file_digest(file, "sha256")
        elif isinstance(part, Tensor):
            one.update(f"{part.dtype} {tuple(part.shape)}".encode())
            one.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        else:
            one.update(part.encode() if isinstance(part, str) else part)
        # A digest each, so that no two lists of parts run together into the same bytes.
        whole.update(type(part).__name__.encode() + one.digest())
    return whole.hexdigest()


def machinery(sources: Iterable[Path], device: torch.device | str) -> str:
    """What computes: these files, the libraries, the kind of device and the threads; any may change a last digit."""
    threads = torch.get_num_threads() if torch.device(device).type == "cpu" else 0
    versions = ",".join(version(package) for package in _PACKAGES)
    return digest(*sorted(sources), versions, torch.device(device).type, str(threads))


class Cache:
    """Tensors by digest.

    Args:
        folder: where they lie; it is made when the first is written. ``None``: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @property
    def keeps(self) -> bool:
        """Whether there is a folder."""
        return self._folder is not None

    def get(self, key: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors of a digest, on the CPU; computed and kept where nobody has yet."""
        if self._folder is None:
            return {name: tensor.cpu() for name, tensor in compute().items()}
        path = self._folder / key[:2] / f"{key}.safetensors"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Written whole, then named: another job sees all of it or nothing, and two that compute the same agree.
            handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
            os.close(handle)
            try:
                save_file({name: tensor.cpu().contiguous() for name, tensor in compute().items()}, name)
                os.replace(name, path)
            except BaseException:
                os.unlink(name)
                raise
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
