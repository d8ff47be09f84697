"""Properties of every training job, whatever the method: one test per mistake that is common in code of this field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.models.model import load
from unsee.models.pictures import Pictures
from unsee.training.batches import units
from unsee.training.finetune import finetune
from unsee.training.loop import train
from unsee.training.lora import add_lora
from unsee.training.settings import LoraSettings
from unsee.unlearning import catalogue, run

LORA = {"rank": 2, "alpha": 2, "dropout": 0.05, "scope": "language"}
#: The methods that train.
TRAINED = sorted(name for name, description in catalogue.read().items() if description.needs.training)
SETTINGS: dict[str, Any] = {"learning_rate": 5e-3, "epochs": 2, "batch_size": 26, "packing": "none", "lora": LORA}


@pytest.fixture(scope="module")
def vanilla(tmp_path_factory: pytest.TempPathFactory, model_spec: dict[str, Any], mini_benchmark: Path) -> Path:
    folder = tmp_path_factory.mktemp("vanilla")
    settings = {**SETTINGS, "epochs": 1, "batch_size": 4, "packing": "person", "schedule": "linear"}
    finetune(
        model_spec,
        mini_benchmark,
        forget_percent=0,
        role="vanilla",
        settings=settings,
        seed=0,
        threads=1,
        output=folder,
    )
    return folder


@pytest.mark.parametrize("method", TRAINED)
def test_a_job_changes_only_its_adapter_and_in_every_epoch(
    method: str,
    vanilla: Path,
    tmp_path: Path,
    model_spec: dict[str, Any],
    mini_benchmark: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, Any] = {}

    def watched(vlm: Any, *arguments: Any, **more: Any) -> Any:
        before = {name: weight.detach().clone() for name, weight in vlm.model.named_parameters()}
        progress = train(vlm, *arguments, **more)
        seen["moved"] = {name: not torch.equal(weight, before[name]) for name, weight in vlm.model.named_parameters()}
        seen["trained"] = {name for name, weight in vlm.model.named_parameters() if weight.requires_grad}
        return progress

    monkeypatch.setattr(run, "train", watched)
    description = catalogue.read()[method]
    run.unlearn(
        model_spec,
        mini_benchmark,
        vanilla=vanilla / "adapter",
        reference=vanilla / "adapter" if description.needs.reference == "retain_only" else None,
        method=method,
        forget_percent=25,
        settings={**SETTINGS, **{name: option.default for name, option in description.options.items()}},
        seed=0,
        threads=1,
        output=tmp_path,
    )
    moved = {name for name, changed in seen["moved"].items() if changed}
    assert moved and moved <= seen["trained"], "frozen weights are what they were, to the last bit"
    assert any("lora_B" in name for name in moved) and any("lora_A" in name for name in moved)
    rows = pq.read_table(tmp_path / "metrics.parquet").to_pylist()
    assert len({row["epoch"] for row in rows}) == 2 and len(rows) == 4, "no epoch is left out"
    assert all(row["gradient_norm"] > 0 for row in rows)
    stored = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert all(weight.abs().max() > 0 for weight in stored.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("method", TRAINED)
def test_the_stored_adapter_holds_only_what_was_learned(
    method: str, dtype: str, vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    """Without a learning rate the result is vanilla to the last bit; with a small one, it differs by no more than the steps.

    Beside weights in half precision an adapter of zeros is added in float32: there the sums' order may show in the last bit.
    """
    spec = {**model_spec, "dtype": dtype}
    description = catalogue.read()[method]
    shared = {**SETTINGS, **{name: option.default for name, option in description.options.items()}}

    def run_at(rate: float, steps: int) -> Path:
        output = tmp_path / str(rate)
        run.unlearn(
            spec,
            mini_benchmark,
            vanilla=vanilla / "adapter",
            reference=vanilla / "adapter" if description.needs.reference == "retain_only" else None,
            method=method,
            forget_percent=25,
            settings={**shared, "epochs": None, "steps": steps, "batch_size": 4, "learning_rate": rate},
            seed=0,
            threads=1,
            output=output,
        )
        return output / "adapter"

    untrained = run_at(0.0, 1)
    stored = load_file(untrained / "adapter_model.safetensors")
    assert all(weight.dtype == torch.float32 for weight in stored.values())
    assert all(weight.abs().max() == 0 for name, weight in stored.items() if "lora_B" in name)
    tokens = torch.tensor([[1, 9, 17, 25]])
    with torch.no_grad():
        before = load(spec, [vanilla / "adapter"]).base(input_ids=tokens).logits
        after = load(spec, [vanilla / "adapter", untrained]).base(input_ids=tokens).logits
    torch.testing.assert_close(after, before, rtol=0, atol=0 if dtype == "float32" else 1e-6)

    rate, steps = 2e-6, 5
    learned = load_file(run_at(rate, steps) / "adapter_model.safetensors")
    for name, weight in learned.items():
        if "lora_B" in name:  # Adam moves a weight by about the rate per step, at most by sqrt(10) times the rate
            assert 0 < weight.abs().max() <= rate * steps * 10**0.5, name


def test_the_learning_rate_falls_from_step_to_step(vanilla: Path) -> None:
    rates = pq.read_table(vanilla / "metrics.parquet")["learning_rate"].to_pylist()
    assert rates == pytest.approx([5e-3, 5e-3 * 2 / 3, 5e-3 / 3])


def test_an_error_in_a_step_ends_the_job(
    vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def failing(*arguments: Any, **more: Any) -> Any:
        def objective(*_: Any) -> Tensor:
            calls.append(1)
            raise RuntimeError("out of anything")

        return objective

    monkeypatch.setattr(run, "make_objective", failing)
    with pytest.raises(RuntimeError, match="out of anything"):
        run.unlearn(
            model_spec,
            mini_benchmark,
            vanilla=vanilla / "adapter",
            reference=None,
            method="ga",
            forget_percent=25,
            settings=SETTINGS,
            seed=0,
            threads=1,
            output=tmp_path,
        )
    assert len(calls) == 1
    assert not (tmp_path / "adapter").exists(), "vanilla is never saved as a result"


def test_a_frozen_base_keeps_its_precision(model_spec: dict[str, Any]) -> None:
    vlm = load({**model_spec, "dtype": "bfloat16"})
    add_lora(vlm, LoraSettings(rank=2, alpha=2), 0)
    trained = {weight.dtype for weight in vlm.model.parameters() if weight.requires_grad}
    frozen = {
        weight.dtype
        for name, weight in vlm.model.named_parameters()
        if not weight.requires_grad and weight.dim() == 2 and "position" not in name
    }
    assert trained == {torch.float32} and frozen == {torch.bfloat16}


def test_the_divergence_of_kl_min_does_not_depend_on_padding(model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    from unsee.models.likelihood import Scores, score
    from unsee.training.batches import batch
    from unsee.unlearning.methods.kl_min import kl_min

    vlm = load(model_spec)
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "retain")[:1])
    images = read_images(mini_benchmark, {p.image_id for p in pairs if p.image_id})
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    selected_units = units(vlm, pictures, pairs, "none")
    lengths = [len(unit.requests[0].tokens) for unit in selected_units]
    short, long = selected_units[lengths.index(min(lengths))], selected_units[lengths.index(max(lengths))]
    teacher = load(model_spec)
    with torch.no_grad():
        for weight in teacher.base.get_output_embeddings().parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))

    nothing = Scores(torch.zeros(0), torch.zeros(0, dtype=torch.long), 0)

    def divergence(together: list[Any]) -> float:
        first, second = (score(m, batch(m, together), pictures, vocabulary=True) for m in (vlm, teacher))
        return kl_min(nothing, first, second).item()

    with torch.no_grad():
        alone = [divergence([unit]) for unit in (short, long)]
        assert divergence([short, long]) == pytest.approx(sum(alone) / 2, rel=1e-4)
    assert min(alone) > 1e-4


def test_an_answer_keeps_its_first_token(family_spec: dict[str, Any], mini_benchmark: Path) -> None:
    """With or without a beginning-of-sequence token, the whole answer and its end token are scored."""
    from unsee.training.batches import batch

    vlm = load(family_spec)
    pairs = [p for p in read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget")[:1]) if not p.image_id]
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, [])
    for pair in pairs:
        (unit,) = units(vlm, pictures, [pair], "none")
        targets = batch(vlm, [unit]).targets.tolist()
        assert targets[-1] == vlm.tokenizer.eos_token_id
        assert vlm.tokenizer.decode(targets[:-1]).strip() == pair.answer
