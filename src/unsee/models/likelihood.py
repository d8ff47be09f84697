"""Log-probabilities of answers, the terms of every loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Batch
from unsee.models.pictures import Pictures


@dataclass(frozen=True)
class Scores:
    """Log-probabilities of the answer tokens of ``n_examples`` examples, in nats, float32.

    Attributes:
        token_log_probs: log-probability of each answer token given the tokens before it, (t,).
        example: the example of each answer token, (t,).
        n_examples: the number of examples; each has at least one answer token.
        log_probs: log-probabilities of the whole vocabulary at each answer token, (t, vocabulary); ``None`` unless the method needs it.
        targets: the answer tokens, ids of ``log_probs``' columns, (t,); ``None`` where ``log_probs`` is.
        n_in_step: the number of examples of this group in the whole optimizer step, if the step is computed in parts; ``None`` if
            these examples are the whole step.
        hidden: the output of a block of the decoder where each answer token is predicted, (t, width); ``None`` unless the method needs it.
    """

    token_log_probs: Tensor
    example: Tensor
    n_examples: int
    log_probs: Tensor | None = None
    targets: Tensor | None = None
    n_in_step: int | None = None
    hidden: Tensor | None = None

    def sequence_sum(self) -> Tensor:
        """log P(y | x) of each example, (n_examples,)."""
        return self._sum(self.token_log_probs)

    def sequence_mean(self) -> Tensor:
        """Mean log-probability of the answer tokens of each example, (n_examples,)."""
        return self.sequence_sum() / self._sum(torch.ones_like(self.token_log_probs))

    def nll(self) -> Tensor:
        """Mean over examples of the mean negative log-likelihood of their answer tokens, see :meth:`average`, a scalar."""
        return -self.average(self.sequence_mean())

    def average(self, values: Tensor) -> Tensor:
        """Mean of one value per example, a scalar; 0 without examples, because a step may have examples of the other group only.

        If a step is computed in parts, the sum is divided by the number of examples of the whole step. The averages of the parts then add
        up to that of the step, for any sizes of the parts. A loss must not average in any other way.
        """
        return values.sum() / max(self.n_examples if self.n_in_step is None else self.n_in_step, 1)

    def _sum(self, values: Tensor) -> Tensor:
        return values.new_zeros(self.n_examples).index_add(0, self.example, values)


def selective_log_softmax(logits: Tensor, targets: Tensor) -> Tensor:
    """``log_softmax(logits)`` at the targets, (t,).

    Args:
        logits: (t, vocabulary), float32.
        targets: (t,) token ids.
    """
    return -F.cross_entropy(logits, targets, reduction="none")


def score(
    model: VisionLanguageModel,
    batch: Batch,
    pictures: Pictures | None,
    *,
    vocabulary: bool = False,
    n_in_step: int | None = None,
    block: int | None = None,
) -> Scores:
    """Score the answers of a batch; only answer positions reach the output projection.

    Args:
        model, batch, pictures: the model, the batch and its pictures.
        vocabulary: whether to keep the log-probabilities of the whole vocabulary.
        n_in_step: the number of examples of the whole step; see :class:`Scores`.
        block: the decoder's block, counted from 1, whose output is kept; ``None``: of none.
    """
    batch = batch.to(model.device)
    with _outputs(None if block is None else model.blocks[block - 1]) as outputs:
        logits = model.answer_logits(model.hidden_states(batch, pictures), batch)
    hidden = outputs[0][batch.target_rows, batch.target_columns].float() if outputs else None
    log_probs = logits.log_softmax(-1) if vocabulary else None
    if log_probs is None:
        token_log_probs = selective_log_softmax(logits, batch.targets)
    else:
        token_log_probs = log_probs.gather(-1, batch.targets[:, None])[:, 0]
    targets = batch.targets if vocabulary else None
    return Scores(token_log_probs, batch.example, batch.n_examples, log_probs, targets, n_in_step, hidden)


@contextmanager
def _outputs(module: nn.Module | None) -> Iterator[list[Tensor]]:
    """Collect the module's outputs, one for each forward pass inside the context; none without a module.

    The hook is gone before the backward pass, in which gradient checkpointing runs the module again.
    """
    outputs: list[Tensor] = []
    if module is None:
        yield outputs
        return
    hook = module.register_forward_hook(lambda _module, _arguments, output: outputs.append(output))
    try:
        yield outputs
    finally:
        hook.remove()
