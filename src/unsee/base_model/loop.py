"""The training loop of all base models: AdamW, clipped gradients, one cycle of the learning rate."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from tqdm import tqdm

log = logging.getLogger(__name__)


def minimise(
    step_loss: Callable[[int], Tensor],
    weights: Sequence[nn.Parameter],
    *,
    steps: int,
    learning_rate: float,
    description: str,
    weight_decay: float = 0.02,
    betas: tuple[float, float] = (0.9, 0.98),
) -> None:
    """Train some weights.

    Args:
        step_loss: computes the loss of a step, a scalar, from the number of the step.
        weights: the weights to train, in place.
        steps: the number of steps.
        learning_rate: the highest learning rate, see :func:`one_cycle`.
        description: the name of the stage, for the log.
        weight_decay, betas: of AdamW.
    """
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=weight_decay, betas=betas)
    started = time.monotonic()
    for step in tqdm(range(steps), desc=description, mininterval=10):
        loss = step_loss(step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        one_cycle(optimizer, step, steps, learning_rate)
        optimizer.step()
        if step == 0 or step % 20 == 19:
            log.info("%s: loss %.3f at step %d", description, loss.item(), step + 1)
    log.info("%s: %d steps, %.2f s each", description, steps, (time.monotonic() - started) / max(1, steps))


def one_cycle(optimizer: torch.optim.Optimizer, step: int, steps: int, peak: float) -> None:
    """Set the learning rate of a step: a linear rise during the first twentieth of all steps, times half a cosine down to 0."""
    rate = peak * min(1.0, (step + 1) / (0.05 * steps)) * 0.5 * (1 + math.cos(math.pi * step / steps))
    for group in optimizer.param_groups:
        group["lr"] = rate
