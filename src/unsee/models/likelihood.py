"""What a model says about answers: the quantities that every loss is made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unsee.models.model import VisionLanguageModel
from unsee.models.packing import Batch
from unsee.models.pictures import Pictures


@dataclass(frozen=True)
class Scores:
    """Log-probabilities of the answer tokens of ``n_examples`` examples, in nats, float32.

    Attributes:
        token_log_probs: of each answer token given what comes before it, (t,).
        example: the example each token belongs to, (t,).
        n_examples: how many there are; each has at least one answer token.
        log_probs: over the whole vocabulary where each answer token is predicted, (t, vocabulary); only where
            a method asks for it.
        n_in_step: how many examples of this group the whole optimizer step has, where these are a part of them;
            ``None``: these are all.
    """

    token_log_probs: Tensor
    example: Tensor
    n_examples: int
    log_probs: Tensor | None = None
    n_in_step: int | None = None

    def sequence_sum(self) -> Tensor:
        """log P(y | x) of each example, (n_examples,)."""
        return self._sum(self.token_log_probs)

    def sequence_mean(self) -> Tensor:
        """Mean log-probability of an answer token of each example, (n_examples,)."""
        return self.sequence_sum() / self._sum(torch.ones_like(self.token_log_probs))

    def nll(self) -> Tensor:
        """Mean over examples of the mean negative log-likelihood of their answer tokens, see :meth:`average`, a scalar."""
        return -self.average(self.sequence_mean())

    def average(self, values: Tensor) -> Tensor:
        """Mean of one value an example, a scalar; of no examples 0, so that a step may be about another group alone.

        Where a step is computed in parts, the sum is divided by the examples of the whole step. The parts' averages then add
        up to the step's, whatever the parts' sizes, in this group and in others. A loss must average in no other way.
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
) -> Scores:
    """Score the answers of a batch; only answer positions reach the output projection.

    Args:
        model, batch, pictures: what is scored.
        vocabulary: keep the log-probabilities of the whole vocabulary.
        n_in_step: examples of the whole step, where the batch is a part of it; see :class:`Scores`.
    """
    batch = batch.to(model.device)
    logits = model.answer_logits(model.hidden_states(batch, pictures), batch)
    if vocabulary:
        log_probs = logits.log_softmax(-1)
        token_log_probs = log_probs.gather(-1, batch.targets[:, None])[:, 0]
        return Scores(token_log_probs, batch.example, batch.n_examples, log_probs, n_in_step)
    return Scores(selective_log_softmax(logits, batch.targets), batch.example, batch.n_examples, n_in_step=n_in_step)
