"""The training loop, owned once: fine-tuning and every unlearning method go through it."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from peft import LoraConfig, PeftModel
from torch import Tensor, nn
from tqdm import tqdm
from transformers import get_scheduler
from transformers.modeling_layers import GradientCheckpointingLayer

from unsee.core.failures import JobError
from unsee.core.files import atomic_write
from unsee.core.resume import CheckpointDir
from unsee.models.model import VisionLanguageModel
from unsee.models.pictures import Pictures
from unsee.training import processes
from unsee.training.batches import Unit, shuffled
from unsee.training.checkpoint import Checkpoints
from unsee.training.lora import put_adapter
from unsee.training.settings import LoraSettings, TrainingSettings

log = logging.getLogger(__name__)

#: Units of each group (``forget``, ``retain``, ...) that one optimizer step is about.
Step = dict[str, list[Unit]]


class DivergedError(JobError):
    """The loss or its gradient is not a number any more."""


@dataclass
class Counters:
    """What a run cost, besides time."""

    steps: int = 0
    examples_seen: int = 0
    forward_passes: int = 0
    backward_passes: int = 0


#: The loss of a part of a step: the units of the part, the run's counters, and each group's number of examples in the whole
#: step. The losses of a step's parts must add up to the step's loss, see :meth:`unsee.models.likelihood.Scores.average`.
Objective = Callable[[Step, Counters, Mapping[str, int]], Tensor]


@dataclass
class Progress:
    """The record of a run: one row a step, and the counters."""

    rows: list[dict[str, float]] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)

    def write(self, path: Path) -> None:
        """One row a step: ``step``, ``epoch``, ``loss``, ``gradient_norm``, ``learning_rate``."""
        with atomic_write(path) as part:
            pq.write_table(pa.Table.from_pylist(self.rows), part)


def add_lora(model: VisionLanguageModel, lora: LoraSettings, seed: int) -> VisionLanguageModel:
    """Put a fresh adapter on the model; it changes nothing until it is trained.

    Raises:
        ValueError: the scope matches no module.
    """
    set_seed(seed)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=model.family.linear_pattern(lora.scope),
        bias="none",
    )
    model.model = put_adapter(model.base, config)
    return model


def plan(groups: Mapping[str, Sequence[Unit]], settings: TrainingSettings, seed: int) -> Iterator[tuple[int, Step]]:
    """(epoch, step) of a run, in an order that depends on nothing but the seed and the units; so many epochs, or steps.

    ``alternation: joint``: an epoch passes once over the first group; the others keep pace with it, drawn without
    replacement until they are used up, then anew. The others are how the official code alternates, one group a step:
    ``sequential``, an epoch passes over each group in turn; ``interleaved``, over the second, with steps of
    the first spread evenly among them.
    """
    if (settings.epochs is None) == (settings.steps is None):
        raise ValueError(f"epochs is {settings.epochs} and steps is {settings.steps}; expected one of them")
    epochs = count() if settings.epochs is None else range(settings.epochs)
    yield from islice(_plan(groups, settings, seed, epochs), settings.steps)


def _plan(
    groups: Mapping[str, Sequence[Unit]], settings: TrainingSettings, seed: int, epochs: Iterable[int]
) -> Iterator[tuple[int, Step]]:
    streams = {name: _endless(groups[name], seed, name) for name in list(groups)[1:]}
    for epoch in epochs:
        passes = {name: _batches(shuffled(found, seed, epoch, name), settings) for name, found in groups.items()}
        lead, *others = passes
        if settings.alternation == "joint":
            for part in passes[lead]:
                yield epoch, {lead: part, **{name: [next(stream) for _ in part] for name, stream in streams.items()}}
        elif settings.alternation == "sequential" or not others:
            for name, parts in passes.items():
                yield from ((epoch, {name: part}) for part in parts)
        else:
            every = max(1, len(passes[others[0]]) // len(passes[lead]))
            for i, part in enumerate(passes[others[0]]):
                if i % every == 0 and i // every < len(passes[lead]):
                    yield epoch, {lead: passes[lead][i // every]}
                yield epoch, {others[0]: part}


def _batches(order: Sequence[Unit], settings: TrainingSettings) -> list[list[Unit]]:
    size = settings.batch_size
    return [list(order[start : start + size]) for start in range(0, len(order), size)]


def _endless(chosen: Sequence[Unit], seed: int, stream: str) -> Iterator[Unit]:
    epoch = 0
    while True:
        yield from shuffled(chosen, seed, epoch, stream)
        epoch += 1


def train(
    model: VisionLanguageModel,
    pictures: Pictures,
    groups: Mapping[str, Sequence[Unit]],
    objective: Objective,
    settings: TrainingSettings,
    *,
    seed: int,
    description: str,
    restrict: Callable[[Step], Sequence[Tensor] | None] | None = None,
    checkpoint_dir: CheckpointDir | None = None,
) -> Progress:
    """Train the adapter of a model.

    Accelerate places the model on its device, joins the processes of a job and runs the backward pass. It prepares no model and
    no optimizer, and its mixed precision is off: everything is computed in float32, however the frozen weights are stored.

    Args:
        model: with an adapter; only its parameters are trained.
        pictures: of the examples; shown in another variant in each epoch where there are several.
        groups: units by group; an epoch is one pass over the first.
        objective: the loss of a part of a step, a scalar; it counts the passes it computes.
        settings, seed: of the run.
        description: for the progress bar.
        restrict: boolean masks of the trained weights, in their order: where a step may move them; ``None``: everywhere.
        checkpoint_dir: where checkpoints lie; from the last of them the run goes on.

    Raises:
        DivergedError: the loss is not finite.
    """
    # On a CPU where there is no CUDA: on other accelerators nothing here is tested.
    accelerator = Accelerator(mixed_precision="no", cpu=not torch.cuda.is_available())
    if settings.shard:
        if restrict:
            raise ValueError("shard is true, and this method masks single weights; expected shard: false with it")
        processes.shard(model.model, model.family.language_model(model.base))
    else:
        model.model.to(accelerator.device)
    named = {name: weight for name, weight in model.model.named_parameters() if weight.requires_grad}
    weights = list(named.values())
    optimizer = _optimizer(weights, settings)
    n_steps = sum(1 for _ in plan(groups, settings, seed))
    scheduler = get_scheduler(settings.schedule, optimizer, int(settings.warmup * n_steps), n_steps)
    progress = Progress()
    model.model.train()
    pictures.freeze_training_state()
    set_seed(
        seed + 1_000_000 * processes.rank_and_world_size()[0]
    )  # dropout: another in each process, whose examples are others
    checkpoints = Checkpoints(None if settings.shard else checkpoint_dir, named, optimizer, scheduler, progress)
    done = checkpoints.resume()
    left = islice(plan(groups, settings, seed), done, None)
    bar = tqdm(left, initial=done, total=n_steps, desc=description, unit="step", mininterval=5)
    started = time.monotonic()
    with gradient_checkpointing(model) if settings.gradient_checkpointing else nullcontext():
        for epoch, step in bar:
            pictures.vary_by_epoch(epoch)
            total, reached = 0.0, False
            n_in_step = {name: sum(len(unit.requests) for unit in units) for name, units in step.items()}
            optimizer.zero_grad()
            for part, counts in _own_parts(step, settings.gradient_accumulation):
                loss = objective(part, progress.counters, n_in_step)
                if not torch.isfinite(loss):
                    raise _diverged("loss", loss.item(), progress.counters.steps, part, settings, n_steps)
                if loss.requires_grad:  # words alone say nothing to an adapter on the tower
                    accelerator.backward(loss if counts else loss * 0)
                    progress.counters.backward_passes += 1
                    reached = True
                total += loss.item() if counts else 0.0
            processes.sum_gradients(weights)
            total = processes.total(total)
            clip = settings.max_grad_norm or math.inf
            norm = float(processes.gather(torch.nn.utils.clip_grad_norm_(weights, clip)))
            if not math.isfinite(norm):
                raise _diverged("gradient", norm, progress.counters.steps, step, settings, n_steps)
            rate = optimizer.param_groups[0]["lr"]
            masks = restrict(step) if restrict else None
            before = [weight.detach().clone() for weight in weights] if masks else []
            optimizer.step()
            if masks:
                for weight, old, mask in zip(weights, before, masks, strict=True):
                    weight.data.copy_(torch.where(mask, weight, old))
            scheduler.step()
            progress.counters.steps += 1
            progress.counters.examples_seen += sum(n_in_step.values())
            progress.rows.append(
                {
                    "step": progress.counters.steps,
                    "epoch": epoch,
                    "loss": total,
                    "gradient_norm": norm,
                    "learning_rate": rate,
                }
            )
            if progress.counters.steps == 1 and reached and norm == 0:
                raise DivergedError("the first gradient is zero, nothing is trained", "choose another lora.scope")
            checkpoints.step_done()
            bar.set_postfix(loss=f"{total:.3f}", refresh=False)
    model.model.eval()
    for counter in ("forward_passes", "backward_passes"):
        setattr(progress.counters, counter, round(processes.total(getattr(progress.counters, counter))))
    log.info("%s: %d steps in %.1f s", description, n_steps - done, time.monotonic() - started)
    return progress


@contextmanager
def gradient_checkpointing(model: VisionLanguageModel) -> Iterator[None]:
    """Within it, a forward pass keeps only the inputs of transformer blocks, and the backward pass runs each block again.

    transformers does so in training mode alone. Blocks are therefore put in training mode, but nothing inside of them: where the
    model is in evaluation mode there is no dropout here either.
    """
    blocks = [module for module in model.base.modules() if isinstance(module, GradientCheckpointingLayer)]
    modes = [block.training for block in blocks]
    model.base.gradient_checkpointing_enable({"use_reentrant": False})
    # transformers makes the embeddings ask for a gradient, which only reentrant checkpointing needs. Here what is trained asks for it.
    model.base.disable_input_require_grads()
    for block in blocks:
        block.training = True
    try:
        yield
    finally:
        for block, mode in zip(blocks, modes, strict=True):
            block.training = mode
        model.base.gradient_checkpointing_disable()


def _diverged(
    what: str, value: float, done: int, step: Step, settings: TrainingSettings, n_steps: int
) -> DivergedError:
    """The error that names the step, from 1, and whose examples it was about."""
    about = "; ".join(f"{name} {', '.join(unit.key for unit in units)}" for name, units in step.items())
    return DivergedError(
        f"the {what} is {value} at step {done + 1}, on {about}",
        f"lower learning_rate (now {settings.learning_rate}), train for fewer steps (now {n_steps}) or set max_grad_norm "
        f"(now {settings.max_grad_norm}); where it is the first step, look at these examples",
    )


def _optimizer(weights: Sequence[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    kinds: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    # One call for all weights, where one can: a hundred small ones take longer on a CPU than what they compute.
    how = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay, "fused": not settings.shard}
    return kinds[settings.optimizer](weights, **how)  # type: ignore[no-any-return]


def _parts(step: Step, n: int) -> list[Step]:
    """The step in ``n`` parts, or in as many as it has units."""
    size = len(next(iter(step.values())))
    n = min(n, size)
    return [{name: units[i * size // n : (i + 1) * size // n] for name, units in step.items()} for i in range(n)]


def _own_parts(step: Step, n: int) -> list[tuple[Step, bool]]:
    """The parts of a step that this process computes, at most ``n``, and whether each counts; as many parts in each process.

    Processes wait for each other in every part, so one that has no units left computes some that do not count.
    """
    rank, n_processes = processes.rank_and_world_size()
    shares = _parts(step, n_processes)
    has_share = rank < len(shares)
    parts = [(part, has_share) for part in _parts(shares[rank if has_share else 0], n)]
    largest = max(len(next(iter(share.values()))) for share in shares)
    return parts + [(parts[0][0], False)] * (min(n, largest) - len(parts))


def save_adapter(model: VisionLanguageModel, directory: Path) -> None:
    """Save the adapter as PEFT does, whole, without anything that names this machine."""
    assert isinstance(model.model, PeftModel)
    for config in model.model.peft_config.values():
        config.inference_mode = True
    with atomic_write(directory) as part:
        model.model.save_pretrained(
            str(part), safe_serialization=True, state_dict=processes.gathered_state(model.model)
        )
        (part / "README.md").unlink(missing_ok=True)
        # PEFT fills in where the base model lay.
        path = part / "adapter_config.json"
        known = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": None}
        path.write_text(json.dumps(known, indent=2, sort_keys=True), encoding="utf-8")
