"""A task vector is what fine-tuning learned, subtracted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.models.likelihood import score
from unsee.models.model import load
from unsee.models.pictures import Pictures
from unsee.training.batches import batch, units
from unsee.training.finetune import finetune
from unsee.unlearning.run import unlearn

LORA = {"rank": 2, "alpha": 4, "dropout": 0.0, "scope": "language"}
SETTINGS: dict[str, Any] = {"learning_rate": 5e-3, "steps": 8, "batch_size": 4, "lora": LORA}


@pytest.fixture(scope="module")
def vanilla(tmp_path_factory: pytest.TempPathFactory, model_spec: dict[str, Any], mini_benchmark: Path) -> Path:
    folder = tmp_path_factory.mktemp("vanilla")
    settings = {**SETTINGS, "steps": 4}
    shared: dict[str, Any] = {"forget_percent": 0, "role": "vanilla", "seed": 0, "threads": 1}
    finetune(model_spec, mini_benchmark, settings=settings, output=folder, **shared)
    return folder / "adapter"


def test_the_adapter_that_was_learned_is_subtracted(
    vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    shared: dict[str, Any] = {"vanilla": vanilla, "reference": None, "forget_percent": 25, "seed": 0, "threads": 1}
    stored = {}
    for scale in (1.0, 0.5):
        output, settings = tmp_path / str(scale), SETTINGS | {"scale": scale}
        unlearn(model_spec, mini_benchmark, method="task_vector", settings=settings, output=output, **shared)
        stored[scale] = load_file(output / "adapter" / "adapter_model.safetensors")
    for name, weight in stored[1.0].items():
        assert torch.equal(stored[0.5][name], weight * 0.5 if "lora_B" in name else weight), name
    losses = pq.read_table(tmp_path / "1.0" / "metrics.parquet")["loss"].to_pylist()
    assert losses[-1] < losses[0], "it was trained forward"

    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget"))
    images = read_images(mini_benchmark, {pair.image_id for pair in pairs if pair.image_id})

    def nll(*adapters: Path) -> float:
        vlm = load(model_spec, [vanilla, *adapters])
        pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
        with torch.no_grad():
            return score(vlm, batch(vlm, units(vlm, pictures, pairs, "none")), pictures).nll().item()

    before, half, whole = nll(), nll(tmp_path / "0.5" / "adapter"), nll(tmp_path / "1.0" / "adapter")
    assert before + 0.02 < half < whole, "what is subtracted is what was learned about the people to forget"
