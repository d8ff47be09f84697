"""The GPUs of this machine: which a process may use, and for each job its own. Planning asks it too: no torch here."""

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

#: Kept until this process ends: then the system releases the locks of its GPUs, however it ended.
_HELD: list[FileLock] = []


@dataclass(frozen=True)
class Gpu:
    """A GPU: its name in CUDA_VISIBLE_DEVICES, and what it is called by all processes alike, whatever each of them sees."""

    name: str
    identity: str


def usable() -> list[Gpu]:
    """The GPUs that a process started here may use: those of the machine, or those of them in CUDA_VISIBLE_DEVICES.

    As CUDA does it, the variable counts up to its first entry that is no GPU of the machine, or one that was there before.
    """
    machine = _machine()
    if VARIABLE not in os.environ:
        # Not by number, for nvidia-smi and CUDA need not number alike.
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
    """The machine's GPUs: number to UUID, or to the number again where only the device files tell of them."""
    if shutil.which("nvidia-smi") is None:
        files = sorted(int(path.name.removeprefix("nvidia")) for path in Path("/dev").glob("nvidia[0-9]*"))
        return {str(number): str(number) for number in files}
    # A failure means that the driver has no GPU to offer.
    said = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=120, check=False).stdout
    return dict(re.findall(r"^GPU (\d+): .*\(UUID: ([^)]+)\)", said, re.MULTILINE))


def claim(wanted: int) -> None:
    """Bind this process to ``wanted`` GPUs that no other job of this user on this machine has; wait until there are so many.

    A scheduler's choice is kept, for only what it left visible is chosen from. With 0 no GPU is seen; where there is none
    the job runs on the CPU. To be called before anything starts CUDA, best before torch is imported.
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
    """Names and locks of ``wanted`` free GPUs; empty if fewer are free, so that no two jobs wait for each other."""
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
