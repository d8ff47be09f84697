"""Resolve pyproject.toml into requirements.lock, requirements-dev.lock and envs/unsee.yaml (``make lock``).

pip resolves the library, and the library with its ``dev`` extra, for this Python and platform, and installs nothing. The first lock is
what a run needs; the second is what ``make test`` needs besides, so that a package is pinned once. Left out are the GPU libraries
that the default torch wheel asks for by itself, and local version labels such as ``+cpu``: the locks then serve a torch with and
without GPU.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GPU = re.compile(r"(nvidia|cuda)[-_].*|triton")


def resolve(project: str, pins: Path | None = None) -> list[str]:
    """``name==version`` of every distribution that a project needs, itself left out, sorted by name.

    Args:
        project: as pip takes it, with extras.
        pins: a lock that the versions must agree with.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    command += ["--constraint", str(pins)] if pins else []
    report = subprocess.run([*command, "--report", "-", project], check=True, stdout=subprocess.PIPE, text=True).stdout
    packages = [item["metadata"] for item in json.loads(report)["install"]]
    versions = {re.sub(r"[-_.]+", "-", item["name"]).lower(): item["version"].split("+")[0] for item in packages}
    return [f"{name}=={versions[name]}" for name in sorted(versions) if name != "unsee" and not GPU.fullmatch(name)]


def lock_text(pins: list[str]) -> str:
    """A lock: one pin a line."""
    return "# Made by: make lock\n" + "".join(f"{pin}\n" for pin in pins)


def environment_text(pins: list[str]) -> str:
    """The conda environment with the same pins; it lists them because Snakemake copies the file elsewhere."""
    head = "# Made by: make lock. The pins of requirements.lock; rules find the library by its place beside them.\n"
    head += "channels:\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n"
    return head + "".join(f"      - {pin}\n" for pin in pins)


if __name__ == "__main__":
    run = resolve(str(ROOT))
    lock = ROOT / "requirements.lock"
    lock.write_text(lock_text(run), encoding="utf-8")
    dev = [pin for pin in resolve(f"{ROOT}[dev]", lock) if pin not in run]
    (ROOT / "requirements-dev.lock").write_text(lock_text(dev), encoding="utf-8")
    (ROOT / "envs" / "unsee.yaml").write_text(environment_text(run), encoding="utf-8")
    print(f"{len(run)} pins to run, {len(dev)} more to test")
