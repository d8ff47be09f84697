"""What made an adapter, written beside it: settings, versions, seeds, counters, hashes.

The workflow adds what the adapter was made of, and where (:mod:`unsee.jobs.receipts`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unsee import __version__
from unsee.core.files import sha256, write_text
from unsee.training.progress import Counters

_PACKAGES = ("torch", "transformers", "peft", "accelerate")


def write(output: Path, *, settings: dict[str, Any], seed: int, counters: Counters, **more: Any) -> None:
    """Write ``output/manifest.json`` for the adapter in ``output/adapter``."""
    weights = output / "adapter" / "adapter_model.safetensors"
    content = {
        **more,
        "seed": seed,
        "settings": settings,
        **asdict(counters),
        "adapter_bytes": weights.stat().st_size,
        "adapter_sha256": sha256(weights),
        # The library may run from a clone that was never installed.
        "versions": {"unsee": __version__} | {package: version(package) for package in _PACKAGES},
    }
    write_text(output / "manifest.json", json.dumps(content, indent=2, sort_keys=True) + "\n")
