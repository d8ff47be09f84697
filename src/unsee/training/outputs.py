"""Write what a training run leaves: the adapter or another result, one row per step, and the manifest.

The workflow adds what the adapter was made from, and where (:mod:`unsee.jobs.receipts`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unsee import __version__
from unsee.core.files import sha256, write_text
from unsee.core.resume import CheckpointDir
from unsee.core.versions import RECORDED, versions
from unsee.models.model import VisionLanguageModel
from unsee.models.stored import WEIGHTS, Result
from unsee.training.lora import save_adapter
from unsee.training.progress import Progress


def write(
    output: Path,
    result: VisionLanguageModel | Result,
    progress: Progress,
    entries: dict[str, Any],
    checkpoint_dir: CheckpointDir | None,
) -> None:
    """Write ``adapter/``, ``metrics.parquet`` and ``manifest.json``, then delete the checkpoints of the run.

    Args:
        output: The folder of the run.
        result: The model whose adapter is saved, or a result of another kind.
        progress: The rows and counters of the run.
        entries: Settings, seed and so on, for the manifest.
        checkpoint_dir: The checkpoints of the run.
    """
    if isinstance(result, VisionLanguageModel):
        save_adapter(result, output / "adapter")
    else:
        result.save(output / "adapter")
    progress.write(output / "metrics.parquet")
    weights = output / "adapter" / WEIGHTS
    manifest = {
        **entries,
        **asdict(progress.counters),
        "adapter_bytes": weights.stat().st_size,
        "adapter_sha256": sha256(weights),
        # __version__, because the library may run from a clone that was never installed.
        "versions": {"unsee": __version__} | versions(RECORDED),
    }
    write_text(output / "manifest.json", json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    if checkpoint_dir is not None:
        checkpoint_dir.clear()
