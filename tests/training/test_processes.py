"""Two processes train what one trains: the same losses and the same adapter, to the last digits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file

from unsee.core.failures import DivergedError
from unsee.jobs.config import ConfigError
from unsee.jobs.config_checks import check
from unsee.models.model import load
from unsee.training import processes
from unsee.training.batches import Step, Unit, parts_of_process
from unsee.training.finetune import finetune
from unsee.training.lora import add_lora
from unsee.training.settings import LoraSettings
from unsee.unlearning import catalogue
from unsee.unlearning.run import unlearn

SETTINGS = {
    "learning_rate": 0.01,
    "epochs": 2,
    "batch_size": 11,  # of twelve people: a step of eleven, split unevenly, and a step of one, which leaves a process idle
    "packing": "person",
    "lora": {"rank": 4, "alpha": 4, "dropout": 0.0, "scope": "language"},
}


@pytest.fixture
def run(model_spec: dict[str, Any], mini_benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that trains and returns losses, adapter and manifest."""
    monkeypatch.setenv("PYTHONPATH", "")  # restored after the test, because launch() sets it

    def train(
        n: int, dtype: str = "float32", **more: Any
    ) -> tuple[list[float], dict[str, torch.Tensor], dict[str, Any]]:
        output = tmp_path / f"{n}{dtype if dtype != 'float32' else ''}{more}"
        output.mkdir()
        settings = SETTINGS | {"num_processes": n} | more
        arguments = {
            "model": model_spec | {"dtype": dtype},
            "benchmark": mini_benchmark,
            "forget_percent": 25,
            "role": "vanilla",
        }
        processes.launch(finetune, arguments | {"settings": settings, "seed": 0, "threads": 1, "output": output}, n)
        losses = pq.read_table(output / "metrics.parquet")["loss"].to_pylist()
        weights = load_file(output / "adapter" / "adapter_model.safetensors")
        return losses, weights, json.loads((output / "manifest.json").read_text())

    return train


@pytest.mark.slow
def test_two_processes_train_what_one_trains(run: Any) -> None:
    losses, adapter, manifest = run(1)
    assert losses[-1] < losses[0]
    # Also in parts, so that one process has more of them than the other, and with sharded weights (FSDP).
    for more in ({"gradient_accumulation": 3}, {"shard": True}, {"shard": True, "gradient_checkpointing": True}):
        again, other, counted = run(2, **more)
        assert again == pytest.approx(losses, rel=1e-5)
        assert list(other) == list(adapter)
        for name, weight in adapter.items():
            torch.testing.assert_close(other[name], weight, rtol=1e-4, atol=1e-5)
        assert counted["steps"] == manifest["steps"] == 4
        assert counted["examples_seen"] == manifest["examples_seen"]


@pytest.mark.slow
def test_weights_in_half_precision_are_sharded_too(run: Any) -> None:
    losses, adapter, _ = run(1, dtype="bfloat16")
    again, other, _ = run(2, dtype="bfloat16", shard=True)
    assert again == pytest.approx(losses, rel=1e-5)
    for name, weight in adapter.items():
        torch.testing.assert_close(other[name], weight, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "options", "shard"),
    [
        ("kl_min", {}, False),
        ("kl_min", {}, True),
        ("mmunlearner", {"threshold": 1.0, "parameters": "adapter"}, False),
        ("dpo", {}, True),
        ("rmu", {"layer": 1, "steering": 5.0, "relative": True, "trained_blocks": None}, False),
    ],
)
def test_two_processes_unlearn_what_one_unlearns(
    method: str,
    options: dict[str, Any],
    shard: bool,
    run: Any,
    model_spec: dict[str, Any],
    mini_benchmark: Path,
    tmp_path: Path,
) -> None:
    run(1)
    arguments = {
        "model": model_spec,
        "benchmark": mini_benchmark,
        "forget_percent": 25,
        "method": method,
        "reference": None,
        "vanilla": tmp_path / "1{}" / "adapter",
        "seed": 0,
        "threads": 1,
    }
    settings = SETTINGS | {"learning_rate": 1e-3, "batch_size": 3, "packing": "none"} | options
    results = []
    for n in (1, 2):
        output = tmp_path / f"{method}{n}"
        in_processes = {"num_processes": n, "shard": shard and n == 2}
        processes.launch(unlearn, arguments | {"settings": settings | in_processes, "output": output}, n)
        losses = pq.read_table(output / "metrics.parquet")["loss"].to_pylist()
        results.append((losses, load_file(output / "adapter" / "adapter_model.safetensors")))
    (losses, adapter), (losses_of_two, adapter_of_two) = results
    assert len(set(losses)) > 5
    assert losses_of_two == pytest.approx(losses, rel=1e-4, abs=1e-4)
    for name, weight in adapter.items():
        torch.testing.assert_close(adapter_of_two[name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_error_of_the_first_process_that_fails_is_raised(run: Any) -> None:
    with pytest.raises(DivergedError) as caught:  # of the same type, so that a trial can tell it from other failures
        run(2, learning_rate=1e30)
    assert re.match(r"the (loss|gradient) is (nan|inf) at step \d+, on train ", caught.value.cause)
    assert "lower learning_rate (now 1e+30)" in caught.value.remedy


def test_sharding_is_refused_when_weights_outside_the_decoder_are_trained(model_spec: dict[str, Any]) -> None:
    vlm = load(model_spec)
    add_lora(vlm, LoraSettings(scope="both"), seed=0)
    with pytest.raises(
        ValueError, match=r"shard is true and \S*vision_tower\S* is trained; expected lora.scope: language"
    ):
        processes.shard(vlm.model, vlm.family.language_model(vlm.base))


def test_a_plan_with_more_processes_than_gpus_is_refused() -> None:
    root = Path(__file__).parents[2]
    config = yaml.safe_load((root / "config.yaml").read_text())
    config["methods"]["ga"]["num_processes"] = 4
    check(config, catalogue.read(), root)  # without GPUs there is nothing to refuse
    config["resources"]["unlearn"] = {"gpu": 2}
    with pytest.raises(
        ConfigError, match=r"ga\.num_processes is 4, of jobs with 2 GPUs; expected at most resources.unlearn.gpu"
    ):
        check(config, catalogue.read(), root)


def step(n: int) -> Step:
    return {name: [Unit(f"{name} {i}", ()) for i in range(n)] for name in ("forget", "retain")}


@pytest.mark.parametrize("size", range(1, 8))
@pytest.mark.parametrize("n", range(1, 5))
@pytest.mark.parametrize("world_size", range(1, 5))
def test_each_unit_counts_once_and_every_process_has_as_many_parts(size: int, n: int, world_size: int) -> None:
    whole = step(size)
    parts = [parts_of_process(whole, n, rank, world_size) for rank in range(world_size)]
    assert len({len(parts_of_one) for parts_of_one in parts}) == 1
    counted = [part for parts_of_one in parts for part, counts in parts_of_one if counts]
    assert [unit for part in counted for unit in part["forget"]] == whole["forget"]
    assert [unit for part in counted for unit in part["retain"]] == whole["retain"]
