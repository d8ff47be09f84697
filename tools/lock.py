"""Resolve pyproject.toml into requirements.lock and envs/unsee.yaml (``make lock``).

pip resolves the library with its ``dev`` extra for this Python and platform, and installs nothing. Left out are the GPU
libraries that the default torch wheel asks for by itself, and local version labels such as ``+cpu``: the lock then
serves a torch with and without GPU.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GPU = re.compile(r"(nvidia|cuda)[-_].*|triton")


def resolve() -> list[str]:
    """``name==version`` of every distribution, sorted by name."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    report = subprocess.run(
        [*command, "--report", "-", f"{ROOT}[dev]"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    found = [item["metadata"] for item in json.loads(report)["install"]]
    pins = {re.sub(r"[-_.]+", "-", item["name"]).lower(): item["version"].split("+")[0] for item in found}
    return [f"{name}=={pins[name]}" for name in sorted(pins) if name != "unsee" and not GPU.fullmatch(name)]


def lock_text(pins: list[str]) -> str:
    """The lock: one pin a line."""
    return "# Made by: make lock\n" + "".join(f"{pin}\n" for pin in pins)


def environment_text(pins: list[str]) -> str:
    """The conda environment with the same pins; it lists them because Snakemake copies the file elsewhere."""
    head = "# Made by: make lock. The pins of requirements.lock; rules find the library by its place beside them.\n"
    head += "channels:\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n"
    return head + "".join(f"      - {pin}\n" for pin in pins)


if __name__ == "__main__":
    pins = resolve()
    (ROOT / "requirements.lock").write_text(lock_text(pins), encoding="utf-8")
    (ROOT / "envs" / "unsee.yaml").write_text(environment_text(pins), encoding="utf-8")
    print(f"{len(pins)} pins")
