"""The scores of the reference model: computed once per content, without a second model in memory."""

from __future__ import annotations

import gc
import json
import os
import shutil
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from unsee.benchmarks.tables import Pair, person_ids, read_images, read_pairs
from unsee.core import cache
from unsee.core.cache import Cache
from unsee.models.families import source_of
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures
from unsee.training.batches import units
from unsee.training.finetune import finetune
from unsee.unlearning import reference, run
from unsee.unlearning.reference import cached_scores, reference_scores

SETTINGS: dict[str, Any] = {"learning_rate": 1e-3, "epochs": 1, "batch_size": 4, "packing": "person"}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, model_spec: dict[str, Any], mini_benchmark: Path) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    finetune(
        model_spec,
        mini_benchmark,
        forget_percent=25,
        role="retain_only",
        settings=SETTINGS,
        seed=0,
        threads=1,
        output=folder,
    )
    return folder / "adapter"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[list[Path]]:
    """The adapters of each load; no model may be loaded while another is in memory."""
    calls: list[list[Path]] = []
    last: list[weakref.ref[Any]] = []

    def watched(spec: dict[str, Any], adapters: Any = (), **more: Any) -> VisionLanguageModel:
        assert all(ref() is None for ref in last), "two copies of the base are in memory"
        vlm = load(spec, adapters, **more)
        calls.append(list(adapters))
        last.append(weakref.ref(vlm.base))
        return vlm

    monkeypatch.setattr(reference, "load", watched)
    monkeypatch.setattr(run, "load", watched)
    return calls


def _unlearn(spec: dict[str, Any], benchmark: Path, adapter: Path, folder: Path, **changed: Any) -> Path:
    method = changed.pop("method", "npo")
    run.unlearn(
        spec,
        benchmark,
        vanilla=adapter,
        reference=adapter if method == "npo" else None,
        method=method,
        forget_percent=25,
        settings={**SETTINGS, **{k: v for k, v in changed.items() if k not in ("seed", "cache")}},
        seed=changed.get("seed", 0),
        threads=1,
        output=folder,
        cache=changed.get("cache"),
    )
    gc.collect()  # the job ends here
    return folder


@pytest.mark.parametrize("method", ["kl_min", "npo"])
def test_two_models_are_never_in_memory(
    method: str, loads: list[list[Path]], adapter: Path, tmp_path: Path, model_spec: Any, mini_benchmark: Path
) -> None:
    _unlearn(model_spec, mini_benchmark, adapter, tmp_path, method=method)
    assert len(loads) == (2 if method == "npo" else 1), "a teacher is the model itself, its adapter switched off"


def test_runs_of_other_betas_and_seeds_share_the_scores(
    loads: list[list[Path]], adapter: Path, tmp_path: Path, model_spec: Any, mini_benchmark: Path
) -> None:
    cache = tmp_path / "cache"
    first = _unlearn(model_spec, mini_benchmark, adapter, tmp_path / "a", beta=0.4, cache=cache)
    assert len(loads) == 2
    for seed, beta in ((0, 0.1), (1, 0.4)):
        _unlearn(model_spec, mini_benchmark, adapter, tmp_path / f"{seed}", beta=beta, seed=seed, cache=cache)
    assert len(loads) == 4, "one load each, of the model that is unlearned"
    # A run that reads the scores ends with the same bytes as the run that computes them.
    again = _unlearn(model_spec, mini_benchmark, adapter, tmp_path / "b", beta=0.4, cache=cache)
    without = _unlearn(model_spec, mini_benchmark, adapter, tmp_path / "c", beta=0.4)
    for name in ("adapter/adapter_model.safetensors", "manifest.json", "metrics.parquet"):
        assert (first / name).read_bytes() == (again / name).read_bytes() == (without / name).read_bytes()


def test_cached_scores_equal_the_models(
    adapter: Path, tmp_path: Path, model_spec: Any, forget: tuple[list[Pair], list[tuple[str, bytes]]]
) -> None:
    pairs, images = forget
    vlm = load(model_spec, [adapter])
    pictures = Pictures(vlm.family, vlm.base, vlm.processor, images)
    theirs = reference_scores(vlm, pictures, units(vlm, pictures, pairs, "none"))
    for _ in range(2):  # computed, then read from the cache
        cached = cached_scores(model_spec, adapter, pairs, images, "none", "answer", cache=Cache(tmp_path))
        assert list(cached) == sorted(theirs) and len(cached) == len(pairs)
        for key, scores in cached.items():
            assert torch.equal(scores.token_log_probs, theirs[key].token_log_probs)
            assert torch.equal(scores.sequence_sum(), theirs[key].sequence_sum())


def test_the_cache_key_depends_on_everything_that_could_change_the_scores(
    adapter: Path,
    tmp_path: Path,
    model_spec: dict[str, Any],
    forget: tuple[list[Pair], list[tuple[str, bytes]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs, images = forget

    def key(
        spec: Any = model_spec, a: Path = adapter, p: Any = pairs, i: Any = images, k: str = "none", t: str = ""
    ) -> str:
        return reference._key(spec, a, p, i, (k, t), Cache(tmp_path / "cache"))

    base, moved = tmp_path / "base", tmp_path / "moved"
    shutil.copytree(model_spec["path"], base)
    shutil.copytree(adapter, moved)
    assert key() == key(spec={**model_spec, "path": str(base), "name": "other"}, a=moved), "where and how it is called"
    seen = {key(), key(k="person"), key(t="all"), key(spec={**model_spec, "dtype": "bfloat16"})}
    seen.add(key(p=[replace(pairs[0], answer="Another"), *pairs[1:]]))
    shown = pairs[0].image_id
    seen.add(key(i=[(image_id, b"x" if image_id == shown else data) for image_id, data in images]))
    seen.add(key(p=pairs[1:]))
    weights = moved / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    seen.add(key(a=moved))
    processor = base / "processor_config.json"
    content = json.loads(processor.read_text())
    content["image_processor"]["image_mean"] = [0.0, 0.0, 0.0]
    processor.write_text(json.dumps(content))
    seen.add(key(spec={**model_spec, "path": str(base)}))
    monkeypatch.setattr(reference, "source_of", lambda name: source_of("qwen2_vl"))
    seen.add(key())
    assert len(seen) == 10


def test_the_base_is_hashed_once_per_run_directory(
    adapter: Path,
    tmp_path: Path,
    model_spec: dict[str, Any],
    forget: tuple[list[Pair], list[tuple[str, bytes]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise every NPO job would read the 14 GB of the base twice."""
    base = Path(shutil.copytree(model_spec["path"], tmp_path / "base"))
    for file in base.iterdir():
        os.utime(file, (1e9, 1e9))
    reads: list[str] = []
    original = cache.sha256
    monkeypatch.setattr(cache, "sha256", lambda path: reads.append(path.name) or original(path))
    spec = {**model_spec, "path": str(base)}
    keys = {reference._key(spec, adapter, *forget, ("none", ""), Cache(tmp_path / "cache")) for _ in range(3)}
    assert len(keys) == 1
    assert reads.count("model.safetensors") == 1


@pytest.fixture(scope="module")
def forget(mini_benchmark: Path) -> tuple[list[Pair], list[tuple[str, bytes]]]:
    pairs = read_pairs(mini_benchmark, person_ids(mini_benchmark, 25, "forget"))
    return pairs, read_images(mini_benchmark, {pair.image_id for pair in pairs if pair.image_id})
