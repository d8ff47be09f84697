"""The training loop of fine-tuning and of every unlearning method."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from tqdm import tqdm
from transformers import get_scheduler
from transformers.modeling_layers import GradientCheckpointingLayer

from unsee.core.failures import DivergedError, JobError
from unsee.core.resume import CheckpointDir
from unsee.models.model import VisionLanguageModel
from unsee.models.pictures import Pictures
from unsee.training import processes
from unsee.training.batches import Step, Unit, parts_of_process, plan
from unsee.training.checkpoint import Checkpoints
from unsee.training.progress import Counters, Progress
from unsee.training.settings import TrainingSettings

log = logging.getLogger(__name__)

#: The loss of a part of a step, a scalar. Arguments: the units of the part; the run's counters, in which the objective
#: counts the passes it computes; and each group's number of examples in the whole step. The losses of a step's parts
#: must add up to the step's loss, see :meth:`unsee.models.likelihood.Scores.average`.
Objective = Callable[[Step, Counters, Mapping[str, int]], Tensor]


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
    """Train the adapter of a model, in float32 however the frozen weights are stored: autocast is never entered.

    Args:
        model: A model with an adapter; only the adapter is trained.
        pictures: The pictures of the examples, shown in another variant in each epoch if there are several.
        groups: The units of each group; an epoch is one pass over the first.
        objective: The loss of a part of a step.
        settings: Optimizer, schedule, batch size and so on.
        seed: Decides the order of the units and dropout.
        description: The title of the progress bar.
        restrict: Returns one boolean mask per trained weight, true where the step may move it, or ``None``: everywhere.
        checkpoint_dir: Where checkpoints are kept; the run continues from the last one.

    Returns:
        One row per step, and what the run cost.

    Raises:
        DivergedError: The loss or gradient is not finite.
        JobError: The first gradient is zero.
        ValueError: ``shard`` is true and the method masks weights.
    """
    *_, progress = train_stepwise(
        model,
        pictures,
        groups,
        objective,
        settings,
        seed=seed,
        description=description,
        restrict=restrict,
        checkpoint_dir=checkpoint_dir,
    )
    return progress


def train_stepwise(
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
) -> Iterator[Progress]:
    """The same step by step: yields the progress before the first step, and after each.

    The model is in training mode meanwhile, and must be whenever the next step is taken; at the end it is in evaluation mode.
    """
    weights = _place(model, settings, masked=restrict is not None)
    n_steps = sum(1 for _ in plan(groups, settings, seed))
    run = _Run(weights, objective, settings, n_steps, restrict)
    model.model.train()
    pictures.freeze_training_state()
    # Dropout must differ between processes, because their examples do.
    set_seed(seed + 1_000_000 * processes.rank_and_world_size()[0])
    checkpoints = Checkpoints(
        None if settings.shard else checkpoint_dir, weights, run.optimizer, run.scheduler, run.progress
    )
    done = checkpoints.resume()
    remaining = islice(plan(groups, settings, seed), done, None)
    bar = tqdm(remaining, initial=done, total=n_steps, desc=description, unit="step", mininterval=5)
    started = time.monotonic()
    yield run.progress
    with gradient_checkpointing(model) if settings.gradient_checkpointing else nullcontext():
        for epoch, step in bar:
            pictures.vary_by_epoch(epoch)
            loss = run.take_step(epoch, step)
            checkpoints.step_done()
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            yield run.progress
    model.model.eval()
    counters = run.progress.counters
    counters.forward_passes = round(processes.total(counters.forward_passes))
    counters.backward_passes = round(processes.total(counters.backward_passes))
    log.info("%s: %d steps in %.1f s", description, n_steps - done, time.monotonic() - started)


def _place(model: VisionLanguageModel, settings: TrainingSettings, *, masked: bool) -> dict[str, nn.Parameter]:
    """Put the model on its device, or its share of it, and return the trained weights by name."""
    module: nn.Module = model.model
    if settings.shard:
        if masked:
            raise ValueError("shard is true, and this method masks single weights; expected shard: false with it")
        processes.shard(module, model.family.language_model(model.base))
    else:
        module.to(processes.device())
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


class _Run:
    """The optimizer of a run, and its steps.

    Attributes:
        optimizer, scheduler: As the settings name them.
        progress: One row per step taken.
    """

    def __init__(
        self,
        weights: Mapping[str, nn.Parameter],
        objective: Objective,
        settings: TrainingSettings,
        n_steps: int,
        restrict: Callable[[Step], Sequence[Tensor] | None] | None,
    ) -> None:
        self._weights, self._objective, self._restrict = list(weights.values()), objective, restrict
        self._settings, self._n_steps = settings, n_steps
        self.optimizer = _optimizer(self._weights, settings)
        self.scheduler = get_scheduler(settings.schedule, self.optimizer, int(settings.warmup * n_steps), n_steps)
        self.progress = Progress()

    def take_step(self, epoch: int, step: Step) -> float:
        """Compute the gradient of a step, move the weights, and record it; returns the loss."""
        n_in_step = {name: sum(len(unit.requests) for unit in units) for name, units in step.items()}
        loss, norm = self._gradient(step, n_in_step)
        learning_rate = self.optimizer.param_groups[0]["lr"]
        self._update(self._restrict(step) if self._restrict else None)
        self.scheduler.step()
        self.progress.add_step(
            n_examples=sum(n_in_step.values()), epoch=epoch, loss=loss, gradient_norm=norm, learning_rate=learning_rate
        )
        return loss

    def _gradient(self, step: Step, n_in_step: Mapping[str, int]) -> tuple[float, float]:
        """Compute the gradient of a step, summed over its parts and over processes, and clip it.

        Returns:
            The loss, and the norm of the gradient before clipping.
        """
        self.optimizer.zero_grad()
        counters = self.progress.counters
        losses: list[tuple[Step, Tensor]] = []
        n_parts = self._settings.gradient_accumulation
        for part, counts in parts_of_process(step, n_parts, *processes.rank_and_world_size()):
            loss = self._objective(part, counters, n_in_step)
            if loss.requires_grad:  # the loss of words alone does not depend on an adapter on the tower
                (loss if counts else loss * 0).backward()
                counters.backward_passes += 1
            losses.append((part, loss.detach() if counts else loss.detach() * 0))
        processes.sum_gradients(self._weights)
        clip = self._settings.max_grad_norm or math.inf
        length = processes.gather(torch.nn.utils.clip_grad_norm_(self._weights, clip))
        # The only time in a step that the host waits for the device; the weights have not moved yet.
        *values, norm = torch.stack([*(loss for _, loss in losses), length.to(losses[0][1])]).tolist()
        total = 0.0
        for (part, _), value in zip(losses, values, strict=True):
            if not math.isfinite(value):
                raise self._diverged("loss", value, part)
            total += value
        total = processes.total(total)
        if not math.isfinite(norm):
            raise self._diverged("gradient", norm, step)
        if counters.steps == 0 and counters.backward_passes and norm == 0:
            raise JobError("the first gradient is zero, nothing is trained", "choose another lora.scope")
        return total, norm

    def _update(self, masks: Sequence[Tensor] | None) -> None:
        """Take an optimizer step, and undo it outside the masks."""
        before = [weight.detach().clone() for weight in self._weights] if masks else []
        self.optimizer.step()
        if masks:
            for weight, old, mask in zip(self._weights, before, masks, strict=True):
                weight.data.copy_(torch.where(mask, weight, old))

    def _diverged(self, what: str, value: float, step: Step) -> DivergedError:
        """The error that names the step, counted from 1, and its examples."""
        about = "; ".join(f"{name} {', '.join(unit.key for unit in units)}" for name, units in step.items())
        rate, clip = self._settings.learning_rate, self._settings.max_grad_norm
        return DivergedError(
            f"the {what} is {value} at step {self.progress.counters.steps + 1}, on {about}",
            f"lower learning_rate (now {rate}), train for fewer steps (now {self._n_steps}) or set max_grad_norm "
            f"(now {clip}); where it is the first step, look at these examples",
        )


def _optimizer(weights: Sequence[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    kinds: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    # Fused: an adapter has hundreds of small weights, and one call for each takes a CPU longer than their arithmetic.
    options = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay, "fused": not settings.shard}
    return kinds[settings.optimizer](weights, **options)  # type: ignore[no-any-return]


@contextmanager
def gradient_checkpointing(model: VisionLanguageModel) -> Iterator[None]:
    """Keep only the inputs of transformer blocks in a forward pass, and run each block again in the backward pass.

    transformers does this in training mode only. The blocks are therefore put into training mode, but not the modules
    inside them: if the model is in evaluation mode there is no dropout here either.
    """
    blocks = [module for module in model.base.modules() if isinstance(module, GradientCheckpointingLayer)]
    modes = [block.training for block in blocks]
    model.base.gradient_checkpointing_enable({"use_reentrant": False})
    # transformers makes the embeddings require a gradient, which only reentrant checkpointing needs.
    model.base.disable_input_require_grads()
    for block in blocks:
        block.training = True
    try:
        yield
    finally:
        for block, mode in zip(blocks, modes, strict=True):
            block.training = mode
        model.base.gradient_checkpointing_disable()
