"""Write what a training run leaves: the adapter, one row per step, and the manifest.

The workflow adds what the adapter was made from, and where (:mod:`unsee.jobs.receipts`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unsee import __version__
from unsee.core.files import sha256, write_text
from unsee.models.model import VisionLanguageModel
from unsee.training.lora import save_adapter
from unsee.training.progress import Progress

_PACKAGES = ("torch", "transformers", "peft", "accelerate")


def write(
    output: Path, model: VisionLanguageModel, progress: Progress, *, settings: dict[str, Any], seed: int, **more: Any
) -> None:
    """Write ``adapter/``, ``metrics.parquet`` and ``manifest.json``.

    Args:
        output: The folder of the run.
        model: The model whose adapter is saved.
        progress: The rows and counters of the run.
        settings: The settings of the run, for the manifest.
        seed: The seed of the run.
        more: Further entries of the manifest.
    """
    save_adapter(model, output / "adapter")
    progress.write(output / "metrics.parquet")
    weights = output / "adapter" / "adapter_model.safetensors"
    manifest = {
        **more,
        "seed": seed,
        "settings": settings,
        **asdict(progress.counters),
        "adapter_bytes": weights.stat().st_size,
        "adapter_sha256": sha256(weights),
        # __version__, because the library may run from a clone that was never installed.
        "versions": {"unsee": __version__} | {package: version(package) for package in _PACKAGES},
    }
    write_text(output / "manifest.json", json.dumps(manifest, indent=2, sort_keys=True) + "\n")
