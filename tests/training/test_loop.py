"""The training loop: the order of the examples, batches in parts, and errors."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch.overrides import TorchFunctionMode

from unsee.benchmarks.tables import person_ids, read_pairs
from unsee.core.failures import DivergedError
from unsee.models.model import load
from unsee.models.packing import Request
from unsee.models.stored import AdapterError
from unsee.training.batches import Unit, plan, split_step
from unsee.training.finetune import finetune
from unsee.training.settings import TrainingSettings
from unsee.unlearning.run import unlearn

SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-2,
    "epochs": 2,
    "batch_size": 4,
    "packing": "person",
    "lora": {"rank": 4, "alpha": 4, "dropout": 0.0, "scope": "language"},
}


def _units(*keys: str) -> list[Unit]:
    return [Unit(key, (Request((1,), (2,)),)) for key in keys]


def test_an_epoch_passes_once_over_the_first_group_with_as_many_units_of_the_other() -> None:
    settings = TrainingSettings(learning_rate=1.0, epochs=2, batch_size=2)
    steps = list(plan({"forget": _units(*"abc"), "retain": _units(*"vwxyz")}, settings, seed=0))
    assert [epoch for epoch, _ in steps] == [0, 0, 1, 1]
    for epoch in (0, 1):
        seen = [unit.key for e, step in steps if e == epoch for unit in step["forget"]]
        assert sorted(seen) == ["a", "b", "c"]
    assert all(len(step["forget"]) == len(step["retain"]) for _, step in steps)
    retained = [unit.key for _, step in steps for unit in step["retain"]]
    assert sorted(retained[:5]) == ["v", "w", "x", "y", "z"], "all are used before any is used again"


def _shape(alternation: Any, forget: str, retain: str) -> list[str]:
    settings = TrainingSettings(learning_rate=1.0, epochs=1, batch_size=2, alternation=alternation)
    steps = plan({"forget": _units(*forget), "retain": _units(*retain)}, settings, seed=0)
    return ["+".join(f"{name}{len(units)}" for name, units in step.items()) for _, step in steps]


def test_sequential_and_interleaved_steps_have_one_group() -> None:
    assert _shape("sequential", "abc", "vwxyz") == ["forget2", "forget1", "retain2", "retain2", "retain1"]
    # Two forget steps to three retain steps: one before each of the first two.
    assert _shape("interleaved", "abc", "vwxyz") == ["forget2", "retain2", "forget1", "retain2", "retain1"]
    # One to three: spread over them, each group once an epoch.
    assert _shape("interleaved", "ab", "uvwxyz") == ["forget2", "retain2", "retain2", "retain2"]


def test_the_number_of_steps_does_not_depend_on_the_number_of_units() -> None:
    settings = TrainingSettings(learning_rate=1.0, steps=5, batch_size=2)
    longer = TrainingSettings(learning_rate=1.0, epochs=3, batch_size=2)
    for keys, epochs in (("abc", [0, 0, 1, 1, 2]), ("abcdefghijklmnop", [0] * 5)):
        steps = list(plan({"forget": _units(*keys)}, settings, 0))
        assert [epoch for epoch, _ in steps] == epochs
        assert steps == list(plan({"forget": _units(*keys)}, longer, 0))[:5]


def test_exactly_one_of_epochs_and_steps_is_set() -> None:
    for wrong in (
        TrainingSettings(learning_rate=1.0, batch_size=2),
        TrainingSettings(learning_rate=1.0, batch_size=2, epochs=1, steps=1),
    ):
        with pytest.raises(ValueError, match="expected one of them"):
            list(plan({"forget": _units("a")}, wrong, 0))


def test_the_order_depends_only_on_seed_and_units() -> None:
    settings = TrainingSettings(learning_rate=1.0, epochs=3, batch_size=2)

    def order(units: list[Unit], seed: int) -> list[str]:
        return [u.key for _, step in plan({"train": units}, settings, seed) for u in step["train"]]

    assert order(_units(*"abcdef"), 1) == order(_units(*"fedcba"), 1)
    assert order(_units(*"abcdef"), 1) != order(_units(*"abcdef"), 2)


@pytest.mark.parametrize("method", ["ga_diff", "kl_min", "mmunlearner"])
def test_a_step_may_have_one_group_only(
    method: str, vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    settings = {**SETTINGS, "learning_rate": 1e-3, "epochs": 1, "alternation": "interleaved"}
    if method == "mmunlearner":
        settings |= {"threshold": 1.0, "parameters": "adapter"}
    unlearn(
        model_spec,
        mini_benchmark,
        vanilla=vanilla / "adapter",
        reference=None,
        method=method,
        forget_percent=25,
        settings=settings,
        seed=0,
        threads=1,
        output=tmp_path,
    )
    # Three people to forget, nine to keep, four per step: one forget step, three retain steps.
    losses = pq.read_table(tmp_path / "metrics.parquet")["loss"].to_pylist()
    assert len(losses) == 4
    assert losses[0] < 0 and (method == "kl_min" or min(losses[1:]) > 0)


def test_parts_split_every_group_of_a_step() -> None:
    step = {"forget": _units(*"abcde"), "retain": _units(*"vwxyz")}
    parts = split_step(step, 2)
    assert [u.key for part in parts for u in part["forget"]] == list("abcde")
    assert [len(part["forget"]) for part in parts] == [len(part["retain"]) for part in parts] == [2, 3]


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def _finetune(folder: Path, spec: dict[str, Any], benchmark: Path, role: str = "vanilla", **changed: Any) -> Path:
    finetune(
        spec,
        benchmark,
        forget_percent=25,
        role=role,  # type: ignore[arg-type]
        settings={**SETTINGS, **changed},
        seed=0,
        threads=1,
        output=folder,
    )
    return folder


@pytest.fixture(scope="module")
def vanilla(tmp_path_factory: pytest.TempPathFactory, model_spec: dict[str, Any], mini_benchmark: Path) -> Path:
    return _finetune(tmp_path_factory.mktemp("vanilla"), model_spec, mini_benchmark)


def test_the_same_run_gives_the_same_bytes(
    vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    again = _finetune(tmp_path, model_spec, mini_benchmark)
    for name in (
        "adapter/adapter_model.safetensors",
        "adapter/adapter_config.json",
        "metrics.parquet",
        "manifest.json",
    ):
        assert (vanilla / name).read_bytes() == (again / name).read_bytes()


def test_mixed_precision_is_never_entered(
    vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if accelerate's environment variable sets it: steps of 2e-6 would be lost in half precision."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    again = _finetune(tmp_path, model_spec, mini_benchmark)
    weights = "adapter/adapter_model.safetensors"
    assert (vanilla / weights).read_bytes() == (again / weights).read_bytes()


def test_the_loss_falls_and_the_adapter_is_on_the_language_model_only(vanilla: Path) -> None:
    losses = pq.read_table(vanilla / "metrics.parquet")["loss"].to_pylist()
    assert len(losses) == 6
    assert losses[-1] < losses[0] - 0.3
    weights = _weights(vanilla)
    assert all("language_model" in name for name in weights)
    assert all(weight.abs().max() > 0 for weight in weights.values()), "B too has left zero"
    manifest = json.loads((vanilla / "manifest.json").read_text())
    assert manifest["examples_seen"] == 2 * 12 * 17
    assert manifest["adapter_bytes"] == (vanilla / "adapter" / "adapter_model.safetensors").stat().st_size


def test_accumulated_parts_give_the_step_of_the_whole_batch(
    tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    # One pair per sequence and answers of different lengths: the loss of a part must be weighted by its share.
    changed = {"packing": "none", "epochs": 1, "optimizer": "sgd", "batch_size": 51}
    whole = _finetune(tmp_path / "whole", model_spec, mini_benchmark, **changed)
    parts = _finetune(tmp_path / "parts", model_spec, mini_benchmark, **changed, gradient_accumulation=3)
    for name, weight in _weights(whole).items():
        torch.testing.assert_close(_weights(parts)[name], weight, atol=2e-6, rtol=1e-3)


def test_the_retain_only_model_is_not_trained_on_the_people_to_forget(mini_benchmark: Path) -> None:
    forgotten = set(person_ids(mini_benchmark, 25, "forget"))
    retained = person_ids(mini_benchmark, 25, "retain")
    assert len(forgotten) == 3 and len(retained) == 9 and not forgotten & set(retained)
    met = Counter(pair.person_id for pair in read_pairs(mini_benchmark, retained))
    assert set(met) == set(retained) and set(met.values()) == {17}


@pytest.mark.parametrize("method", ["ga", "ga_diff", "kl_min", "npo"])
def test_each_method_makes_the_forgotten_less_likely(
    method: str, vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    unlearn(
        model_spec,
        mini_benchmark,
        vanilla=vanilla / "adapter",
        reference=vanilla / "adapter" if method == "npo" else None,
        method=method,
        forget_percent=25,
        settings={**SETTINGS, "packing": "none", "batch_size": 4, "learning_rate": 5e-3},
        seed=0,
        threads=1,
        output=tmp_path,
    )
    before = _forget_nll(model_spec, mini_benchmark, [vanilla / "adapter"])
    after = _forget_nll(model_spec, mini_benchmark, [vanilla / "adapter", tmp_path / "adapter"])
    assert after > before + 0.2


def test_an_untrained_adapter_is_the_vanilla_model(
    vanilla: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    from unsee.training.lora import add_lora
    from unsee.training.settings import LoraSettings

    vlm = load(model_spec, [vanilla / "adapter"])
    tokens = torch.tensor([[1, 5, 7, 9]])
    with torch.no_grad():
        before = vlm.base(input_ids=tokens).logits
        add_lora(vlm, LoraSettings(), 0)
        vlm.model.eval()
        assert torch.equal(vlm.base(input_ids=tokens).logits, before)


def test_a_loss_that_is_not_finite_stops_the_job(
    tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    with pytest.raises(DivergedError, match="lower learning_rate") as caught:
        _finetune(tmp_path, model_spec, mini_benchmark, learning_rate=1e30, max_grad_norm=0.0, epochs=4)
    people_of_a_step = r"train \w+, \w+, \w+, \w+$"
    assert re.search(rf"^the (loss|gradient) is (nan|-?inf) at step [2-9], on {people_of_a_step}", caught.value.cause)
    assert not (tmp_path / "adapter").exists()


class _HostReads(TorchFunctionMode):
    """Counts the times that Python reads values of a tensor, for each of which it would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in ("item", "tolist", "__bool__", "__float__", "__int__", "__index__", "cpu"):
            self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


def test_a_step_waits_once_for_the_device(tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path) -> None:
    counts = []
    for steps in (6, 9):  # until then every picture was read, which waits once for each
        with _HostReads() as reads:
            more = {"epochs": None, "steps": steps, "gradient_accumulation": 2}
            _finetune(tmp_path / str(steps), model_spec, mini_benchmark, **more)
        counts.append(Counter(reads.names))
    assert counts[1] - counts[0] == Counter({"tolist": 3}), "once in each of the three steps more"


def test_npo_without_its_reference_is_refused(
    vanilla: Path, tmp_path: Path, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    with pytest.raises(ValueError, match="'npo' needs the retain-only model"):
        unlearn(
            model_spec,
            mini_benchmark,
            vanilla=vanilla / "adapter",
            reference=None,
            method="npo",
            forget_percent=25,
            settings=SETTINGS,
            seed=0,
            threads=1,
            output=tmp_path,
        )


def _forget_nll(spec: dict[str, Any], benchmark: Path, adapters: list[Path]) -> float:
    from unsee.benchmarks.tables import read_images
    from unsee.models.likelihood import score
    from unsee.models.pictures import Pictures
    from unsee.training.batches import batch, units

    pairs = read_pairs(benchmark, person_ids(benchmark, 25, "forget"))
    vlm = load(spec, adapters)
    pictures = Pictures(
        vlm.family, vlm.base, vlm.processor, read_images(benchmark, {p.image_id for p in pairs if p.image_id})
    )
    with torch.no_grad():
        return score(vlm, batch(vlm, units(vlm, pictures, pairs, "person")), pictures).nll().item()


def test_a_damaged_adapter_is_refused_by_name(vanilla: Path, tmp_path: Path, model_spec: dict[str, Any]) -> None:
    damaged = tmp_path / "run"
    shutil.copytree(vanilla, damaged)
    weights = damaged / "adapter" / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(AdapterError, match=rf"the adapter {damaged / 'adapter'} is damaged: .* delete {damaged}"):
        load(model_spec, [damaged / "adapter"])
