"""KL minimisation: ascend on the forget examples, stay what one was on the retain examples."""

from __future__ import annotations

from torch import Tensor

from unsee.training.scores import Scores
from unsee.unlearning.method import Needs, method


@method("kl_min", Needs(retain=True, reference="vanilla", reference_on="retain", vocabulary=True))
def kl_min(forget: Scores, retain: Scores, reference: Scores) -> Tensor:
    """``- L(D_f) + mean_{D_r} KL(P || P_0)`` (VL-Eraser supplement, equation 14).

    The divergence is taken over the whole vocabulary where each answer token is predicted, averaged over an
    example's tokens, then over examples.
    """
    assert retain.log_probs is not None and reference.log_probs is not None
    per_token = (retain.log_probs.exp() * (retain.log_probs - reference.log_probs)).sum(-1)
    divergence = Scores(per_token, retain.example, retain.n_examples).sequence_mean().mean()
    return divergence - forget.nll()
