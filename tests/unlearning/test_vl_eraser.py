"""VL-Eraser's three steps: the space is clear of the retained, the deletion is what it says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from peft import PeftModel

from unsee.models.model import load
from unsee.models.pictures import Pictures
from unsee.training.loop import Counters
from unsee.training.pairs import people, read_images, read_pairs, units
from unsee.training.scores import Scores
from unsee.training.settings import LoraSettings, TrainingSettings
from unsee.unlearning import vl_eraser
from unsee.unlearning.method import Context
from unsee.unlearning.run import unlearn


def test_vacuum_space_by_hand() -> None:
    # Inputs in the plane of the first two axes leave the third.
    inputs = torch.tensor([[1.0, 0.0, 0.0], [1.0, 2.0, 0.0]])
    space = vl_eraser.vacuum_space(inputs, 1e-6)
    assert space.removed == 2
    torch.testing.assert_close(space(torch.eye(3)), torch.diag(torch.tensor([0.0, 0.0, 1.0])), atol=1e-6, rtol=0)


@pytest.mark.parametrize("n", [3, 40])
def test_both_ways_of_keeping_a_projection_are_one_projection(n: int) -> None:
    inputs = torch.randn(n, 64, generator=torch.Generator().manual_seed(0))
    space = vl_eraser.vacuum_space(inputs, 1e-6)
    assert space.removed == n
    assert space.basis.shape[1] == min(n, 64 - n)
    matrix = space(torch.eye(64))
    torch.testing.assert_close(matrix @ matrix, matrix, atol=1e-5, rtol=0)
    torch.testing.assert_close(matrix, matrix.T, atol=1e-6, rtol=0)
    assert space(inputs).norm() < 1e-4 * inputs.norm()


def test_the_loss_is_the_weighted_sum_and_each_part_can_be_left_out() -> None:
    forget = Scores(torch.tensor([-2.0]), torch.tensor([0]), 1)
    state = vl_eraser.State(_losses=[torch.tensor(0.5), torch.tensor(1.5)])
    assert vl_eraser.vl_eraser(forget, state, weight=0.25).item() == pytest.approx(0.25 * 1.0 + 0.75 * 2.0)
    assert vl_eraser.vl_eraser(forget, state, weight=0.25, distil=False).item() == pytest.approx(0.75 * 2.0)
    assert vl_eraser.vl_eraser(forget, state, weight=0.25, ce=False).item() == pytest.approx(0.25 * 1.0)


SETTINGS: dict[str, Any] = {
    "learning_rate": 5e-3,
    "epochs": 4,
    "batch_size": 4,
    "lora": {"rank": 4, "alpha": 4, "dropout": 0.0, "scope": "language"},
    "weight": 0.5,
    "vacuum": True,
    "distil": True,
    "ce": True,
    "tolerance": 1e-6,
    "vacuum_inputs": "image",
}


@pytest.fixture(scope="module")
def context(model_spec: dict[str, Any], mini_benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> Context:
    vlm = load(model_spec)
    pairs = {role: read_pairs(mini_benchmark, people(mini_benchmark, 25, role)) for role in ("forget", "retain")}
    images = read_images(mini_benchmark, {p.image_id for found in pairs.values() for p in found if p.image_id})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    groups = {role: units(vlm, pictures, found, "none") for role, found in pairs.items()}
    settings = TrainingSettings(
        learning_rate=1e-3, epochs=1, batch_size=4, lora=LoraSettings(rank=4, alpha=4, dropout=0.0)
    )
    return Context(vlm, pictures, groups, settings, 0, Counters(), tmp_path_factory.mktemp("run"))


def test_retained_inputs_are_pooled_over_picture_tokens_once_a_picture(context: Context) -> None:
    inputs = vl_eraser.retained_inputs(context, "image")
    assert len(inputs) == 6, "gate, up and down of two layers"
    assert {rows.shape for rows in inputs.values()} == {(9, 64), (9, 192)}
    both = vl_eraser.retained_inputs(context, "both")
    assert next(iter(both.values())).shape[0] == 9 + 9 * 17


def test_deletion(context: Context, mini_benchmark: Path, model_spec: dict[str, Any], tmp_path: Path) -> None:
    retained = vl_eraser.retained_inputs(context, "image")
    start = tmp_path / "start"
    _untrained_adapter(model_spec, start)
    unlearn(
        model_spec,
        mini_benchmark,
        vanilla=start,
        reference=None,
        method="vl_eraser",
        forget_percent=25,
        settings=SETTINGS,
        seed=0,
        threads=1,
        output=tmp_path / "run",
    )
    removed = pq.read_table(tmp_path / "run" / "vacuum.parquet")["directions_removed"].to_pylist()
    assert removed == [9] * 6

    plain, erased = load(model_spec), load(model_spec, [tmp_path / "run" / "adapter"])
    adapted = load(model_spec)
    adapted.model = PeftModel.from_pretrained(adapted.base, str(tmp_path / "run" / "adapter"))  # type: ignore[assignment]
    before = dict(plain.base.named_modules())
    after = dict(erased.base.named_modules())
    for name, module in adapted.base.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        change = module.scaling["default"] * module.lora_B["default"].weight @ module.lora_A["default"].weight
        assert change.abs().max() > 0
        # Merging the stored adapter is the explicit subtraction.
        torch.testing.assert_close(after[name].weight, before[name].weight + change, atol=1e-6, rtol=1e-6)
        # What the retained show the module is answered as before: |B A P h| <= 1e-4 |W h| for each of them.
        moved = (retained[name] @ change.T).norm(dim=-1)
        assert (moved <= 1e-4 * (retained[name] @ before[name].weight.T).norm(dim=-1)).all()

    tokens = torch.tensor([[1, 9, 17, 25]])
    with torch.no_grad():
        vanilla_logits = plain.base(input_ids=tokens).logits
        assert not torch.equal(adapted.model(input_ids=tokens).logits, vanilla_logits)
        for module in adapted.base.modules():
            if hasattr(module, "lora_A"):
                module.scaling["default"] = 0.0
        assert torch.equal(adapted.model(input_ids=tokens).logits, vanilla_logits), "scaled to nothing it is vanilla"


def test_the_cosine_improves_with_training(
    context: Context, mini_benchmark: Path, model_spec: dict[str, Any], tmp_path: Path
) -> None:
    start = tmp_path / "start"
    _untrained_adapter(model_spec, start)
    unlearn(
        model_spec,
        mini_benchmark,
        vanilla=start,
        reference=None,
        method="vl_eraser",
        forget_percent=25,
        settings={**SETTINGS, "ce": False, "weight": 1.0, "vacuum": False},
        seed=0,
        threads=1,
        output=tmp_path / "run",
    )
    losses = pq.read_table(tmp_path / "run" / "metrics.parquet")["loss"].to_pylist()
    assert not math.isnan(losses[-1])
    assert losses[-1] < losses[0] - 0.1


def _untrained_adapter(spec: dict[str, Any], folder: Path) -> None:
    from unsee.training.loop import add_lora, save_adapter

    vlm = load(spec)
    add_lora(vlm, LoraSettings(rank=2, alpha=2), 0)
    save_adapter(vlm, folder)
