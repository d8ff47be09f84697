"""The rule that makes the base model from nothing, with a few faces and a few steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SETTINGS = """
model: {name: small, build: true}
pretraining:
  bystanders: BYSTANDERS
  known: 4
  tower_steps: 2
  tower_batch: 8
  steps: 2
  known_batch: 2
  named_batch: 2
  unsure_steps: 2
  unsure_batch: 2
"""


@pytest.fixture
def bystanders(tmp_path: Path) -> Path:
    """A few shipped portraits, as tools/render_portraits.py would give those of other people."""
    table = pq.read_table(Path(__file__).parents[2] / "src" / "unsee" / "data" / "portraits.parquet")
    rows = [row for row in table.to_pylist() if row["identity"] < 12]
    draws = np.random.default_rng(0)
    for row in rows:
        row["identity"] += 5000
        row["age"] = 40.0
        row["embedding"] = draws.standard_normal(16).tolist()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "bystanders.parquet")
    return tmp_path / "bystanders.parquet"


@pytest.mark.slow
def test_the_base_model_is_made_from_nothing(snakemake: Callable[..., Any], bystanders: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(SETTINGS.replace("BYSTANDERS", str(bystanders)))
    target = "results/base/small/model.safetensors"
    outcome = snakemake(tmp_path, target, "--configfile", str(settings))
    assert outcome.code == 0, outcome.text

    from unsee.models.model import load

    spec = {"family": "llava", "path": str(tmp_path / "results" / "base" / "small"), "dtype": "float32"}
    model = load(spec)
    assert model.prompt("Who is this?", with_image=True).count("<image>") == 1

    # Everything that follows is made of this model.
    outcome = snakemake(tmp_path, "-n", "results/table3.csv", "--configfile", str(settings))
    assert "pretrain_base" not in outcome.jobs
    assert "results/base/small/model.safetensors" in outcome.text
