"""Fine-tune the base model on the fictitious people: all of them (vanilla), or all but those to forget (retain-only)."""

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
from unsee.training import outputs
from unsee.training.batches import Step, batch, units
from unsee.training.loop import train
from unsee.training.lora import add_lora
from unsee.training.progress import Counters
from unsee.training.settings import TrainingSettings

Role = Literal["vanilla", "retain_only"]
#: The people that a model of each role is trained on, as :func:`unsee.benchmarks.tables.person_ids` calls them.
PEOPLE = {"vanilla": "all", "retain_only": "retain"}


def finetune(
    model: dict[str, Any],
    benchmark: Path,
    *,
    forget_percent: int,
    role: Role,
    settings: dict[str, Any],
    seed: int,
    threads: int,
    output: Path,
    cache: Path | None = None,
    checkpoint_dir: CheckpointDir | None = None,
) -> None:
    """Train an adapter on the base model: mean negative log-likelihood of the answer tokens.

    Args:
        model: The ``model`` section of the configuration.
        benchmark: The folder of canonical tables.
        forget_percent: The ratio whose people ``retain_only`` leaves out; ``vanilla`` does not use it.
        role: ``vanilla`` is trained on everyone, ``retain_only`` on everyone but the people to forget.
        settings: Those of :class:`~unsee.training.settings.TrainingSettings`.
        seed: Decides the adapter's start, the order of the examples, dropout and the pictures' variants.
        threads: CPU threads.
        output: The folder of the run; gets ``adapter/``, ``metrics.parquet`` and ``manifest.json``.
        cache: The folder that jobs share, see :mod:`unsee.core.cache`.
        checkpoint_dir: The checkpoints of an earlier start of this job, see :mod:`unsee.core.resume`.
    """
    torch.set_num_threads(threads)
    training, _ = TrainingSettings.split(settings)
    pairs = read_pairs(benchmark, person_ids(benchmark, forget_percent, PEOPLE[role]))
    vlm = load(model, to_gpu=not training.shard)
    pictures = Pictures(
        vlm.family,
        vlm.base,
        vlm.processor,
        read_images(benchmark, {pair.image_id for pair in pairs if pair.image_id}),
        variants=training.variants,
        seed=seed,
        cache=Cache(cache),
    )
    groups = {"train": units(vlm, pictures, pairs, training.packing, training.loss_tokens)}
    add_lora(vlm, training.lora, seed)

    def objective(part: Step, counters: Counters, n_in_step: Mapping[str, int]) -> Tensor:
        counters.forward_passes += 1
        return score(vlm, batch(vlm, part["train"]), pictures, n_in_step=n_in_step["train"]).nll()

    progress = train(
        vlm, pictures, groups, objective, training, seed=seed, description=role, checkpoint_dir=checkpoint_dir
    )
    entries = {"settings": settings, "seed": seed, "role": role, "forget_percent": forget_percent}
    outputs.write(output, vlm, progress, entries, checkpoint_dir)
