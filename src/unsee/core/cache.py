"""A cache of tensors that several jobs need, keyed by a digest of their inputs.

The cache is a folder of safetensors files. Each is named by a digest of everything that decides its content, so no file is ever out
of date, and any file may be deleted at any time. Tensors are memory-mapped: jobs on one machine share one copy and load only the pages
that they use.

Each file holds the digest of its tensors, which is checked when it is read. A damaged file is computed again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unsee.core.files import follow_umask, sha256
from unsee.core.versions import COMPUTING, versions

log = logging.getLogger(__name__)

_SEAL = "sha256 of the tensors"
_RECENT = 2_000_000_000  # nanoseconds


def digest(*parts: str | bytes | Path | Tensor) -> str:
    """A digest of the contents of texts, bytes, files or tensors; a file's path does not count."""
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
        # One digest for each part, so that two lists of parts never concatenate to the same bytes.
        whole.update(type(part).__name__.encode() + one.digest())
    return whole.hexdigest()


def environment_key(sources: Iterable[Path], device: torch.device | str) -> str:
    """A digest of source files, library versions, device type and number of threads: each may change the last digits of a result."""
    threads = torch.get_num_threads() if torch.device(device).type == "cpu" else 0
    return digest(*sorted(sources), str(versions(COMPUTING)), torch.device(device).type, str(threads))


class Cache:
    """Tensors by digest.

    Args:
        folder: the cache; created on the first write. ``None`` disables it.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    @property
    def keeps(self) -> bool:
        """Whether the cache is enabled."""
        return self.folder is not None

    def get(self, key: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors of a digest, on the CPU; they are computed and stored if they are missing or damaged."""
        if self.folder is None:
            return {name: tensor.cpu() for name, tensor in compute().items()}
        path = self.folder / key[:2] / f"{key}.safetensors"
        if path.is_file():
            tensors = _read(path)
            if tensors is not None:
                return tensors
            log.warning("%s: damaged; computing it again", path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written under a temporary name and renamed, so that other jobs never see an incomplete file. The name is unique because
        # two jobs, perhaps on two machines of a cluster, may compute the same tensors.
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
        """SHA-256 of a file's content; it is stored under path, size, time and inode, so that the file is read only once.

        Otherwise each job would read a base model of 14 GB one more time.
        """
        state = file.stat()  # follows links
        if time.time_ns() - state.st_mtime_ns < _RECENT:
            return sha256(file)  # it may still change within the resolution of the file system's clock
        key = digest("file", str(file.resolve()), f"{state.st_size} {state.st_mtime_ns} {state.st_ino}")
        content = self.get(
            key, lambda: {"sha256": torch.frombuffer(bytearray.fromhex(sha256(file)), dtype=torch.uint8)}
        )
        return bytes(content["sha256"].numpy()).hex()


def _read(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a file, memory-mapped; ``None`` if the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            seal = (file.metadata() or {}).get(_SEAL)
    except (SafetensorError, OSError):
        return None
    return tensors if seal == _digest_of(tensors) else None


def _digest_of(tensors: dict[str, Tensor]) -> str:
    return digest(*(part for name in sorted(tensors) for part in (name, tensors[name])))
