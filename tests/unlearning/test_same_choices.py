"""A whole run with weights stored in half precision makes the same choices as in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from unsee.evaluation.predict import predict
from unsee.training.finetune import finetune
from unsee.unlearning import catalogue, run

BASE = Path(__file__).parents[2] / "src" / "unsee" / "data" / "tiny-llava"
LORA = {"rank": 8, "alpha": 8, "dropout": 0.05, "scope": "language"}
FINETUNE = {
    "learning_rate": 7.5e-3,
    "epochs": 15,
    "batch_size": 4,
    "packing": "person",
    "schedule": "cosine",
    "warmup": 0.05,
    "lora": LORA,
}
#: config.yaml's rate for both methods, and four passes over the people to forget.
UNLEARNING = {"learning_rate": 3e-4, "epochs": 4, "batch_size": 4, "lora": LORA}
ASKED = {"protocol": "unsee", "batch_size": 16, "max_new_tokens": 1}

pytestmark = pytest.mark.slow


def choices(dtype: str, benchmark: Path, folder: Path) -> dict[str, np.ndarray]:
    """The option that each model of a run chooses, by method; -1 for other questions."""
    model = {"name": "tiny-llava", "family": "llava", "path": str(BASE), "dtype": dtype}
    shared: dict[str, Any] = {"seed": 0, "threads": 1}
    for role in ("vanilla", "retain_only"):
        percent = 0 if role == "vanilla" else 25
        output = folder / role
        finetune(model, benchmark, forget_percent=percent, role=role, settings=FINETUNE, output=output, **shared)
    stacks = {"vanilla": [folder / "vanilla" / "adapter"]}
    for name in ("ga", "npo"):
        description = catalogue.read()[name]
        run.unlearn(
            model,
            benchmark,
            vanilla=folder / "vanilla" / "adapter",
            reference=folder / "retain_only" / "adapter" if description.needs.reference else None,
            method=name,
            forget_percent=25,
            settings=UNLEARNING | {key: option.default for key, option in description.options.items()},
            output=folder / name,
            **shared,
        )
        stacks[name] = [*stacks["vanilla"], folder / name / "adapter"]
    choices_of = {}
    for name, adapters in stacks.items():
        output = folder / f"{name} answers"
        predict(
            model,
            benchmark,
            adapters=adapters,
            forget_percents=[25],
            settings=ASKED | {"tasks": ["classification"]},
            threads=1,
            output=output,
        )
        table = pq.read_table(output / "classification.parquet").sort_by("question_id").to_pandas()
        choices_of[name] = table["choice"].to_numpy()
        if name != "vanilla":
            assert (choices_of[name] != choices_of["vanilla"]).any(), f"{name} changed nothing: this would test nothing"
    return choices_of


def test_half_precision_makes_the_same_choices(mini_benchmark: Path, tmp_path: Path) -> None:
    exact = choices("float32", mini_benchmark, tmp_path / "float32")
    half = choices("bfloat16", mini_benchmark, tmp_path / "bfloat16")
    for name, expected in exact.items():
        assert len(expected) >= 150
        share = float((half[name] == expected).mean())
        print(
            f"{name}: {share:.1%} of {len(expected)} choices are the same; {(expected != exact['vanilla']).mean():.1%} changed"
        )
        assert share >= 0.97, name
