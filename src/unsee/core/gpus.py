"""The GPUs of this machine: which ones a process may use, and a lock per GPU. Planning uses this module, so torch is not imported."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

VARIABLE = "CUDA_VISIBLE_DEVICES"

#: The locks of this process's GPUs. The system releases them when the process ends, also if it is killed.
_HELD: list[FileLock] = []


@dataclass(frozen=True)
class Gpu:
    """A GPU: its name in CUDA_VISIBLE_DEVICES, and its identity, which is the same in all processes of the machine."""

    name: str
    identity: str


def usable() -> list[Gpu]:
    """The GPUs that a process on this machine may use: those in CUDA_VISIBLE_DEVICES, or all if it is not set.

    As in CUDA, the variable ends at its first entry that is not a GPU of the machine or is a repetition.
    """
    machine = _machine()
    if VARIABLE not in os.environ:
        # By UUID, because nvidia-smi and CUDA may number GPUs differently.
        return [Gpu(identity, identity) for identity in machine.values()]
    named: dict[str, Gpu] = {}
    for name in os.environ[VARIABLE].replace(" ", "").split(","):
        by_uuid = [uuid for uuid in machine.values() if name.startswith("GPU-") and uuid.startswith(name)]
        part_of_one = [name] if name.startswith("MIG-") and machine else []
        identities = [machine[name]] if name in machine else by_uuid or part_of_one
        if not identities or identities[0] in named:
            break
        named[identities[0]] = Gpu(name, identities[0])
    return list(named.values())


def _machine() -> dict[str, str]:
    """The UUID of each GPU of the machine by its number; without nvidia-smi, the number itself."""
    if shutil.which("nvidia-smi") is None:
        files = sorted(int(path.name.removeprefix("nvidia")) for path in Path("/dev").glob("nvidia[0-9]*"))
        return {str(number): str(number) for number in files}
    # nvidia-smi fails if there is no GPU.
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=120, check=False).stdout
    return dict(re.findall(r"^GPU (\d+): .*\(UUID: ([^)]+)\)", listing, re.MULTILINE))


def claim(wanted: int) -> None:
    """Bind this process to ``wanted`` GPUs that no other job of this user on this machine uses; wait until they are free.

    Only GPUs that the scheduler left visible are used. With ``wanted=0`` all GPUs are hidden. On a machine without a GPU the job runs on
    the CPU. Must be called before CUDA is initialised, preferably before torch is imported.
    """
    if wanted == 0:
        os.environ[VARIABLE] = ""
        return
    gpus = usable()
    waiting = False
    while gpus:
        held = _lock(gpus, min(wanted, len(gpus)))
        if held:
            os.environ[VARIABLE] = ",".join(held)
            _HELD.extend(held.values())
            return
        if not waiting:
            print(f"waiting for {wanted} of the GPUs {', '.join(gpu.name for gpu in gpus)}", file=sys.stderr)
        waiting = True
        time.sleep(1)


def _lock(gpus: list[Gpu], wanted: int) -> dict[str, FileLock]:
    """Names and locks of ``wanted`` free GPUs; empty if fewer are free, so that two jobs never wait for each other."""
    held: dict[str, FileLock] = {}
    for gpu in gpus:
        path = Path(tempfile.gettempdir()) / f"unsee-{os.getuid()}-gpu-{gpu.identity}.lock"
        lock = FileLock(path, fallback_to_soft=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        held[gpu.name] = lock
        if len(held) == wanted:
            return held
    for lock in held.values():
        lock.release()
    return {}
