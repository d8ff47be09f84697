"""Tensors that several jobs need: computed by the first, found by the others, by what they are made from.

A folder of safetensors files, each named by a digest of everything that decides its content, so that nothing in it is ever out of
date and any of it may be deleted at any time. Tensors come back memory-mapped: jobs on one machine share one copy of them, and
none holds more than it looks at.

Each file holds the digest of its tensors and is compared with it when it is read: what a failing disk or a power loss has damaged is
computed again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unsee.core.files import follow_umask, sha256

log = logging.getLogger(__name__)

_PACKAGES = ("torch", "transformers", "peft", "pillow")
_SEAL = "sha256 of the tensors"
_RECENT = 2_000_000_000  # nanoseconds


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


def environment_key(sources: Iterable[Path], device: torch.device | str) -> str:
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
        self.folder = folder

    @property
    def keeps(self) -> bool:
        """Whether there is a folder."""
        return self.folder is not None

    def get(self, key: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors of a digest, on the CPU; computed and kept where they are not there yet, or are damaged."""
        if self.folder is None:
            return {name: tensor.cpu() for name, tensor in compute().items()}
        path = self.folder / key[:2] / f"{key}.safetensors"
        if path.is_file():
            tensors = _read(path)
            if tensors is not None:
                return tensors
            log.warning("%s: damaged; computing it again", path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written whole, then renamed: another job sees all of it or nothing. Two that compute the same, on two machines of a
        # cluster perhaps, write under different names.
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        os.close(handle)
        try:
            tensors = {name: tensor.cpu().contiguous() for name, tensor in compute().items()}
            save_file(tensors, name, {_SEAL: _digest_of(tensors)})
            follow_umask(Path(name))
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        return _read(path) or tensors

    def file_digest(self, file: Path) -> str:
        """SHA-256 of a file's content, read once a run directory: the digest is kept under path, size, time and inode.

        For a base model of 14 GB, which each job would otherwise read in whole before it reads it to compute with.
        """
        state = file.stat()  # of what a link leads to
        if time.time_ns() - state.st_mtime_ns < _RECENT:
            return sha256(file)  # it may be written again within the same tick of the file system's clock
        key = digest("file", str(file.resolve()), f"{state.st_size} {state.st_mtime_ns} {state.st_ino}")
        content = self.get(
            key, lambda: {"sha256": torch.frombuffer(bytearray.fromhex(sha256(file)), dtype=torch.uint8)}
        )
        return bytes(content["sha256"].numpy()).hex()


def _read(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a file, memory-mapped; ``None`` where they are not those that were written."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            seal = (file.metadata() or {}).get(_SEAL)
    except (SafetensorError, OSError):
        return None
    return tensors if seal == _digest_of(tensors) else None


def _digest_of(tensors: dict[str, Tensor]) -> str:
    return digest(*(part for name in sorted(tensors) for part in (name, tensors[name])))
