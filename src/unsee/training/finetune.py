"""Teach the base model the fictitious people: all of them (vanilla), or all but the forgotten (retain-only)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.core.cache import Cache
from unsee.core.resume import CheckpointDir
from unsee.models.likelihood import score
from unsee.models.model import load
from unsee.models.pictures import Pictures
from unsee.training import manifest
from unsee.training.batches import Step, batch, units
from unsee.training.loop import train
from unsee.training.lora import add_lora, save_adapter
from unsee.training.progress import Counters
from unsee.training.settings import TrainingSettings


def finetune(
    model: dict[str, Any],
    benchmark: Path,
    *,
    forget_percent: int,
    role: Literal["vanilla", "retain_only"],
    settings: dict[str, Any],
    seed: int,
    threads: int,
    output: Path,
    cache: Path | None = None,
    checkpoint_dir: CheckpointDir | None = None,
) -> None:
    """Fine-tune an adapter on the base model: mean negative log-likelihood of the answer tokens.

    Args:
        model: the configuration's ``model`` section.
        benchmark: folder of canonical tables.
        forget_percent: for ``retain_only``, the ratio whose forgotten people are left out.
        role: ``vanilla`` learns everyone, ``retain_only`` everyone but the forgotten.
        settings: of :class:`~unsee.training.settings.TrainingSettings`.
        seed, threads: of the run.
        output: run folder: ``adapter/``, ``metrics.parquet``, ``manifest.json``.
        cache: folder of what jobs share, see :mod:`unsee.core.cache`.
        checkpoint_dir: where an earlier start of this job left its checkpoints, see :mod:`unsee.core.resume`.
    """
    torch.set_num_threads(threads)
    chosen, _ = TrainingSettings.split(settings)
    pairs = read_pairs(benchmark, person_ids(benchmark, forget_percent, "all" if role == "vanilla" else "retain"))
    vlm = load(model, to_gpu=not chosen.shard)
    pictures = Pictures(
        vlm.family,
        vlm.base,
        vlm.processor,
        read_images(benchmark, {pair.image_id for pair in pairs if pair.image_id}),
        variants=chosen.variants,
        seed=seed,
        cache=Cache(cache),
    )
    groups = {"train": units(vlm, pictures, pairs, chosen.packing, chosen.loss_tokens)}
    add_lora(vlm, chosen.lora, seed)

    def objective(part: Step, counters: Counters, n_in_step: Mapping[str, int]) -> Tensor:
        counters.forward_passes += 1
        return score(vlm, batch(vlm, part["train"]), pictures, n_in_step=n_in_step["train"]).nll()

    progress = train(
        vlm, pictures, groups, objective, chosen, seed=seed, description=role, checkpoint_dir=checkpoint_dir
    )
    save_adapter(vlm, output / "adapter")
    progress.write(output / "metrics.parquet")
    manifest.write(
        output, settings=settings, seed=seed, counters=progress.counters, role=role, forget_percent=forget_percent
    )
    if checkpoint_dir is not None:
        checkpoint_dir.clear()
