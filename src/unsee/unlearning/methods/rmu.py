"""Representation misdirection: turn the hidden states of the forgotten answers into noise, and keep the others in place."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from unsee.models.likelihood import Scores, score
from unsee.training.batches import batch
from unsee.training.lora import lora_config, put_adapter
from unsee.unlearning.method import Context, MethodState, Needs, block_number, method

log = logging.getLogger(__name__)


@method(
    "rmu",
    Needs(
        retain_examples=True,
        retain_weight="alpha",
        reference="vanilla",
        reference_on="retain",
        hidden="layer",
    ),
    label="RMU",
    colour="#442222",
    marker="4",
    paper="https://arxiv.org/abs/2403.03218",
)
def rmu(
    forget: Scores,
    retain: Scores,
    reference: Scores,
    state: State,
    *,
    layer: Annotated[float, "> 0"] = 0.25,
    steering: Annotated[float, "> 0"] = 2.0,
    relative: bool = True,
    alpha: Annotated[float, ">= 0"] = 10.0,
    trained_blocks: Annotated[int | None, ">= 1"] = 3,
) -> Tensor:
    """``mean_{D_f} |h(x) - c u|^2 + alpha mean_{D_r} |h(x) - h_0(x)|^2`` (RMU, Li et al., 2024, section 4).

    The later layers of the decoder read noise where an answer about a forgotten person is written, and what they read
    elsewhere stays what it was. h is the output of a block of the decoder where an answer's tokens are predicted, h_0 that
    of vanilla, and u a random unit vector that is the same for all examples. Means are over an answer's tokens, then over
    examples.

    Args:
        forget: Scores of the forget examples under the model being unlearned.
        retain: Scores of the retain examples under the same model.
        reference: Scores of the same retain examples under vanilla.
        state: Holds ``c u``.
        layer: The block: below 1 a share of the decoder's depth, from 1 on a block's number, counted from 1. Usually 0.2
            to 0.5; the paper's is 8 of 32 (it counts from 0).
        steering: The size c, in units of the mean norm of vanilla's h on the forget examples if ``relative``, usually 2 to
            10 (https://arxiv.org/abs/2408.06223); absolute, 6.5 in the paper and 1 to 100 elsewhere.
        relative: Whether c is relative to that norm, which differs between models.
        alpha: The weight of the retain examples, from 1 (OpenUnlearning) to 1200 (the paper).
        trained_blocks: The number of blocks with adapters, up to ``layer`` (the paper's is 3); ``None``: all up to it.
    """
    return distance(forget, state.target) + alpha * distance(retain, reference.hidden)


def distance(scores: Scores, target: Tensor | None) -> Tensor:
    """The squared distance of hidden states to a target: the mean over an answer's tokens, then over examples; a scalar.

    Args:
        scores: With hidden states, (t, width).
        target: (t, width) or (width,).
    """
    assert scores.hidden is not None and target is not None
    squares = (scores.hidden - target).square().sum(-1)
    return scores.average(replace(scores, token_log_probs=squares).sequence_mean())


@dataclass
class State(MethodState):
    """The vector ``c u`` to which forgotten hidden states are steered, (width,)."""

    target: Tensor


def prepare(context: Context, *, layer: float, steering: float, relative: bool, trained_blocks: int | None) -> State:
    """Draw the direction, measure the norm if c is relative to it, and put adapters on the blocks up to the layer."""
    vlm = context.vlm
    block = block_number(layer, len(vlm.blocks))
    norm = mean_norm(context, block) if relative else 1.0
    target = steering * norm * direction(vlm.base.config.get_text_config().hidden_size, context.seed)
    log.info("hidden states of block %d of %d, steered to a norm of %.3f", block, len(vlm.blocks), steering * norm)
    first = 0 if trained_blocks is None else max(0, block - trained_blocks)
    left_out = [number for number in range(len(vlm.blocks)) if not first <= number < block]
    torch.manual_seed(context.seed)
    pattern = without_blocks(context, left_out)
    vlm.model = put_adapter(vlm.base, lora_config(context.settings.lora, pattern))
    return State(target.to(vlm.device))


def direction(width: int, seed: int) -> Tensor:
    """A random unit vector, (width,), all directions being equally likely.

    The official code draws each component from 0 to 1: all its directions lie within about 30 degrees of the diagonal.
    """
    drawn = torch.randn(width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    unit: Tensor = (drawn / drawn.norm()).float()
    return unit


@torch.no_grad()
def mean_norm(context: Context, block: int) -> float:
    """The mean norm of vanilla's hidden states on the forget examples, over an answer's tokens, then over examples."""
    vlm, norms = context.vlm, []
    for unit in context.groups["forget"]:
        scores = score(vlm, batch(vlm, [unit]), context.pictures, block=block)
        assert scores.hidden is not None
        norms.append(replace(scores, token_log_probs=scores.hidden.norm(dim=-1)).sequence_mean())
        context.counters.forward_passes += 1
    return float(torch.cat(norms).double().mean())


def without_blocks(context: Context, left_out: list[int]) -> str:
    """The pattern of the adapted layers without those of some blocks of the decoder, numbered from 0."""
    vlm = context.vlm
    pattern = vlm.family.linear_pattern(context.settings.lora.scope)
    decoder = vlm.family.language_model(vlm.base)
    name = next(name for name, module in vlm.base.named_modules() if module is decoder)
    numbers = "|".join(map(str, left_out))
    return rf"(?!{re.escape(name)}\.layers\.({numbers})\.)({pattern})" if left_out else pattern
