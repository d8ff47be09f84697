"""Run one unlearning method: pass its loss, with the inputs that it declares, to the training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from unsee.benchmarks.schema import BenchmarkError
from unsee.benchmarks.tables import Pair, names_of, person_ids, read_images, read_pairs
from unsee.core.cache import Cache
from unsee.core.resume import CheckpointDir
from unsee.models.likelihood import Scores, score
from unsee.models.model import VisionLanguageModel, load
from unsee.models.pictures import Pictures, feature_cache
from unsee.models.stored import Result
from unsee.training import outputs
from unsee.training.batches import Step, Unit, batch, units
from unsee.training.loop import Objective, train
from unsee.training.lora import add_lora
from unsee.training.progress import Counters, Progress
from unsee.training.settings import TrainingSettings
from unsee.unlearning.method import Context, Method, MethodState, block_number, get
from unsee.unlearning.reference import cached_scores, concatenate
from unsee.unlearning.refusals import with_refusals

#: The scores that a loss may take.
INPUTS = ("forget", "retain", "reference", "alternative", "reference_alternative")

#: The training settings of a method that does not train: it takes no step and reads each pair by itself.
UNTRAINED: dict[str, Any] = {
    **{"learning_rate": 0.0, "epochs": None, "steps": 0, "batch_size": 1},
    **{"packing": "none", "loss_tokens": "answer", "variants": 0, "shard": False},
}


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
        model: The ``model`` section of the configuration.
        benchmark: The folder of canonical tables.
        vanilla: The adapter folder of the vanilla model.
        reference: The adapter folder of the reference model, retain-only or vanilla, for methods that declare one.
        method: The name of the method.
        forget_percent: The ratio.
        settings: Training settings and the method's options.
        seed: Decides the adapter's start, the order of the examples, dropout and the pictures' variants.
        threads: CPU threads.
        output: The folder of the run; gets ``adapter/`` (on top of vanilla; :mod:`unsee.models.stored`), ``metrics.parquet``,
            ``manifest.json``.
        cache: The folder that jobs share, see :mod:`unsee.core.cache`.
        checkpoint_dir: The checkpoints of an earlier start of this job, see :mod:`unsee.core.resume`.

    Raises:
        ValueError: There is no such method, or the reference or the settings do not fit it.
    """
    torch.set_num_threads(threads)
    declared = get(method)
    training, options = TrainingSettings.split(settings | (UNTRAINED if not declared.needs.training else {}))
    declared = replace(declared, needs=declared.needs.with_options(options))
    _check(declared, training, settings, reference)
    context, scores = _load(
        declared, model, benchmark, vanilla, reference, forget_percent, training, seed, output, cache
    )
    entries = {"settings": settings, "seed": seed, "method": method, "forget_percent": forget_percent}
    result: VisionLanguageModel | Result = context.vlm
    if declared.needs.training:
        progress = _train(declared, context, scores, options, f"{method} {forget_percent} %", checkpoint_dir)
    else:
        result, progress = _without_training(declared, context, options), Progress(counters=context.counters)
    outputs.write(output, result, progress, entries, checkpoint_dir)


def _check(method: Method, training: TrainingSettings, settings: Mapping[str, Any], reference: Path | None) -> None:
    """Check that reference and settings fit the method, before a model is loaded."""
    if method.needs.reference == "retain_only" and reference is None:
        raise ValueError(f"method {method.name!r} needs the retain-only model as its reference; none was given")
    if refused := method.needs.refused_parts(settings):
        raise ValueError(f"method {method.name!r}: {' '.join(refused)}")
    if training.shard and method.prepare is not None:
        raise ValueError(
            f"method {method.name!r} looks at the whole model before it trains; expected shard: false with it"
        )


def _load(
    method: Method,
    model: dict[str, Any],
    benchmark: Path,
    vanilla: Path,
    reference: Path | None,
    forget_percent: int,
    training: TrainingSettings,
    seed: int,
    output: Path,
    cache: Path | None,
) -> tuple[Context, dict[str, Scores]]:
    """Load the examples, the scores of a reference model if the method needs one, and the vanilla model."""
    people = {group: person_ids(benchmark, forget_percent, group) for group in method.needs.groups}
    pairs = {group: read_pairs(benchmark, members) for group, members in people.items()}
    pairs["forget"] = of_modality(pairs["forget"], training.modality)
    images = read_images(benchmark, {p.image_id for members in pairs.values() for p in members if p.image_id})
    tokenisation = (training.packing, training.loss_tokens)
    counters = Counters()
    scores: dict[str, Scores] = {}
    if method.needs.reference == "retain_only":
        assert reference is not None
        scored = pairs[method.needs.reference_on]
        # Before vanilla is loaded, so that there is never more than one model in memory.
        scores = cached_scores(model, reference, scored, images, *tokenisation, cache=Cache(cache))
        # Counted even if they come from the cache: the cost of a method does not depend on which job ran first.
        counters.forward_passes += len(scores)
    vlm = load(model, [vanilla], to_gpu=not training.shard)
    features = feature_cache(cache, vlm.family, [vanilla])
    pictures = Pictures(
        vlm.family, vlm.base, vlm.processor, images, variants=training.variants, seed=seed, cache=features
    )
    groups = {group: units(vlm, pictures, members, *tokenisation) for group, members in pairs.items()}
    alternatives: dict[str, Unit] = {}
    if method.needs.alternative != "none":
        refused = units(vlm, pictures, with_refusals(pairs["forget"], seed), *tokenisation)
        alternatives = {unit.key: unit for unit in refused}
    output.mkdir(parents=True, exist_ok=True)
    names = names_of(benchmark, people["forget"])
    return Context(vlm, pictures, groups, training, seed, counters, output, alternatives, names), scores


def _train(
    method: Method,
    context: Context,
    scores: Mapping[str, Scores],
    options: Mapping[str, Any],
    description: str,
    checkpoint_dir: CheckpointDir | None,
) -> Progress:
    """Prepare, take all steps, and finish."""
    state = _prepare(method, context, options)
    needed = context.groups if method.needs.retain_examples else {"forget": context.groups["forget"]}
    progress = train(
        context.vlm,
        context.pictures,
        needed,
        make_objective(method, context.vlm, context.pictures, scores, state, options, context.alternatives),
        context.settings,
        seed=context.seed,
        description=description,
        restrict=None if state is None else state.restrict,
        checkpoint_dir=checkpoint_dir,
    )
    if method.finish is not None:
        method.finish(context, state)
    progress.counters.add_passes(context.counters)
    return progress


def of_modality(pairs: Sequence[Pair], modality: str) -> list[Pair]:
    """The pairs to forget: those with a picture (``image``), those without (``text``), or ``both``.

    Raises:
        BenchmarkError: There is none.
    """
    kept = [pair for pair in pairs if modality in ("both", "text" if pair.image_id is None else "image")]
    if not kept:
        kind = "with a picture" if modality == "image" else "without a picture"
        raise BenchmarkError(
            f"training pairs: none of the {len(pairs)} pairs to forget is {kind}, and modality is {modality}; "
            "expected modality: both, or a benchmark that has such pairs"
        )
    return kept


def _without_training(method: Method, context: Context, options: Mapping[str, Any]) -> Result:
    """Call a method that does not train, and check that its result is of the kind that it declares."""
    result: Result = method.loss(context, **options)
    if result.kind != method.needs.result:
        raise ValueError(
            f"method {method.name!r} returned {result.kind}; expected {method.needs.result}, as it declares"
        )
    return result


def _prepare(method: Method, context: Context, options: Mapping[str, Any]) -> MethodState | None:
    """Put the method's own adapter on the model, or an ordinary one."""
    if method.prepare is None:
        add_lora(context.vlm, context.settings.lora, context.seed)
        return None
    parameters = signature(method.prepare).parameters
    return method.prepare(context, **{key: value for key, value in options.items() if key in parameters})


def make_objective(
    method: Method,
    vlm: VisionLanguageModel,
    pictures: Pictures,
    reference_scores: Mapping[str, Scores],
    state: MethodState | None,
    options: Mapping[str, Any],
    alternatives: Mapping[str, Unit] | None = None,
) -> Objective:
    """Return the objective that computes a method's inputs for a part of a step, and then its loss.

    Args:
        method: Its loss is called; the names of the loss's parameters say what is passed.
        vlm: The model being unlearned.
        pictures: The pictures of the examples.
        reference_scores: Scores of each unit by key, if the reference is another model.
        state: The result of the method's ``prepare``, if it has one.
        options: The method's options.
        alternatives: The units with alternative answers by the forget unit's key, if the method needs them.
    """
    needs = method.needs
    block = block_number(options[needs.hidden], len(vlm.blocks)) if needs.hidden else None

    def objective(part: Step, counters: Counters, n_in_step: Mapping[str, int]) -> Tensor:
        inputs: dict[str, Any] = {"state": state}
        # A step may have examples of one group only.
        inputs |= dict.fromkeys(INPUTS, empty_scores(vlm))
        batches = dict(part)
        if needs.alternative != "none" and "forget" in part:
            batches["alternative"] = [(alternatives or {})[unit.key] for unit in part["forget"]]
            if needs.alternative == "instead":
                del batches["forget"]
        for name, members in batches.items():
            n_examples = n_in_step["forget" if name == "alternative" else name]
            examples = batch(vlm, members).to(vlm.device)
            if state is not None:
                state.begin(examples, n_examples)
            vocabulary = needs.has_vocabulary(name)
            inputs[name] = score(vlm, examples, pictures, vocabulary=vocabulary, n_in_step=n_examples, block=block)
            counters.forward_passes += 1
        members = batches.get(needs.reference_on, [])
        if needs.reference == "retain_only" and members:
            inputs["reference"] = concatenate([reference_scores[unit.key] for unit in members])
        elif needs.reference == "vanilla":
            assert isinstance(vlm.model, PeftModel)
            for name, of in (("reference", needs.reference_on), ("reference_alternative", "alternative")):
                if name in method.inputs and batches.get(of):
                    examples = batch(vlm, batches[of])
                    with torch.no_grad(), vlm.model.disable_adapter():
                        inputs[name] = score(vlm, examples, pictures, vocabulary=needs.has_vocabulary(of), block=block)
                    counters.forward_passes += 1
        loss: Tensor = method.loss(**{name: inputs[name] for name in method.inputs}, **options)
        return loss

    return objective


def empty_scores(vlm: VisionLanguageModel) -> Scores:
    """Scores of no examples."""
    empty = torch.zeros(0, device=vlm.device)
    return Scores(empty, empty.long(), 0, empty[:, None], empty.long(), hidden=empty[:, None])
