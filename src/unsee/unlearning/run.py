"""Run one unlearning method: the loop, handed the method's loss and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from unsee.benchmarks.tables import person_ids, read_images, read_pairs
from unsee.core.cache import Cache
from unsee.core.resume import CheckpointDir
from unsee.models.likelihood import Scores, score
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures, feature_cache
from unsee.training import manifest
from unsee.training.batches import Step, batch, units
from unsee.training.loop import Objective, train
from unsee.training.lora import add_lora, save_adapter
from unsee.training.progress import Counters
from unsee.training.settings import TrainingSettings
from unsee.unlearning.method import Context, Method, get
from unsee.unlearning.reference import concatenate, known_scores


def unlearn(
    model: dict[str, Any],
    benchmark: Path,
    *,
    vanilla: Path,
    reference: Path | None,
    method: str,
    forget_percent: int,
    settings: dict[str, Any],
    seed: int,
    threads: int,
    output: Path,
    cache: Path | None = None,
    checkpoint_dir: CheckpointDir | None = None,
) -> None:
    """Make the vanilla model forget the people of a ratio.

    Args:
        model: the configuration's ``model`` section.
        benchmark: folder of canonical tables.
        vanilla: adapter folder of the vanilla model.
        reference: adapter folder of the retain-only model, for the methods that need it (or of another reference model,
            where they have the option ``reference_model``).
        method: name of the method's file.
        forget_percent: the ratio.
        settings: training settings and the method's own options.
        seed, threads: of the run.
        output: run folder: ``adapter/`` (on top of vanilla), ``metrics.parquet``, ``manifest.json``.
        cache: folder of what jobs share, see :mod:`unsee.core.cache`.
        checkpoint_dir: where an earlier start of this job left its checkpoints, see :mod:`unsee.core.resume`.

    Raises:
        ValueError: no such method, or it needs a reference that is not given, or a model that is not shared out, or a step in
            one part.
    """
    torch.set_num_threads(threads)
    chosen = get(method)
    training, options = TrainingSettings.split(settings)
    if chosen.needs.reference == "retain_only" and reference is None:
        raise ValueError(f"method {method!r} needs the retain-only model as its reference; none was given")

    if refused := chosen.needs.refused_parts(settings):
        raise ValueError(f"method {method!r}: {' '.join(refused)}")
    if training.shard and chosen.prepare is not None:
        raise ValueError(f"method {method!r} looks at the whole model before it trains; expected shard: false with it")

    roles = ["forget", "retain"] if chosen.needs.retain_examples or chosen.needs.prepare == "retain" else ["forget"]
    pairs = {role: read_pairs(benchmark, person_ids(benchmark, forget_percent, role)) for role in roles}
    images = read_images(benchmark, {p.image_id for found in pairs.values() for p in found if p.image_id})

    kept = Cache(cache)
    how = (training.packing, training.loss_tokens)
    counters = Counters()
    known: dict[str, Scores] = {}
    if chosen.needs.reference == "retain_only":
        assert reference is not None
        known = known_scores(model, reference, pairs[chosen.needs.reference_on], images, *how, cache=kept)
        # Counted where they were found, too: what a method costs does not depend on who ran before.
        counters.forward_passes += len(known)
    vlm = load(model, [vanilla], to_gpu=not training.shard)
    features = feature_cache(cache, vlm.family, [vanilla])
    pictures = Pictures(
        vlm.family, vlm.base, vlm.processor, images, variants=training.variants, seed=seed, cache=features
    )
    groups = {role: units(vlm, pictures, found, *how) for role, found in pairs.items()}
    output.mkdir(parents=True, exist_ok=True)
    context = Context(vlm, pictures, groups, training, seed, counters, output)
    state = None
    if chosen.prepare is None:
        add_lora(vlm, training.lora, seed)
    else:
        taken = signature(chosen.prepare).parameters
        state = chosen.prepare(context, **{key: value for key, value in options.items() if key in taken})
    trained = groups if chosen.needs.retain_examples else {"forget": groups["forget"]}
    objective = make_objective(chosen, vlm, pictures, known, state, options)
    progress = train(
        vlm,
        pictures,
        trained,
        objective,
        training,
        seed=seed,
        description=f"{method} {forget_percent} %",
        restrict=getattr(state, "restrict", None),
        checkpoint_dir=checkpoint_dir,
    )
    if chosen.finish is not None:
        chosen.finish(context, state)
    progress.counters.forward_passes += counters.forward_passes
    progress.counters.backward_passes += counters.backward_passes
    save_adapter(vlm, output / "adapter")
    progress.write(output / "metrics.parquet")
    manifest.write(
        output, settings=settings, seed=seed, counters=progress.counters, method=method, forget_percent=forget_percent
    )
    if checkpoint_dir is not None:
        checkpoint_dir.clear()


def make_objective(
    method: Method,
    vlm: VisionLanguageModel,
    pictures: Pictures,
    known: dict[str, Scores],
    state: Any,
    options: dict[str, Any],
) -> Objective:
    """The loss of a step, from what the method asks for by the names of its parameters.

    Args:
        method: whose loss.
        vlm, pictures: the model being unlearned.
        known: reference scores by unit, where the reference is another model.
        state: what the method's ``prepare`` returned, if it has one.
        options: the method's own.
    """
    needs = method.needs

    def objective(part: Step, counters: Counters, n_in_step: Mapping[str, int]) -> Tensor:
        available: dict[str, Any] = {"state": state}
        # A step about one group alone has no examples of the other.
        available |= dict.fromkeys(("forget", "retain", "reference"), empty_scores(vlm))
        for group, members in part.items():
            examples = batch(vlm, members).to(vlm.device)
            if state is not None:
                state.begin(examples, n_in_step[group])
            vocabulary = needs.vocabulary and group == "retain"
            available[group] = score(vlm, examples, pictures, vocabulary=vocabulary, n_in_step=n_in_step[group])
            counters.forward_passes += 1
        asked = part.get(needs.reference_on)
        if needs.reference == "retain_only" and asked:
            available["reference"] = concatenate([known[unit.key] for unit in asked])
        elif needs.reference == "vanilla" and asked:
            assert isinstance(vlm.model, PeftModel)
            with torch.no_grad(), vlm.model.disable_adapter():
                available["reference"] = score(vlm, batch(vlm, asked), pictures, vocabulary=needs.vocabulary)
            counters.forward_passes += 1
        return method.loss(**{name: available[name] for name in method.inputs}, **options)

    return objective


def empty_scores(vlm: VisionLanguageModel) -> Scores:
    """Scores of no examples."""
    empty = torch.zeros(0, device=vlm.device)
    return Scores(empty, empty.long(), 0, empty[:, None])
