"""Direct preference optimisation: prefer a refusal over the true answer, more than vanilla does."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from unsee.models.likelihood import Scores
from unsee.unlearning.method import Needs, method


@method(
    "dpo",
    Needs(retain_examples=True, retain_weight="alpha", reference="vanilla", alternative="beside"),
    label="DPO",
    colour="#992288",
    marker="3",
    paper="https://arxiv.org/abs/2305.18290",
)
def dpo(
    forget: Scores,
    alternative: Scores,
    reference: Scores,
    reference_alternative: Scores,
    retain: Scores,
    *,
    beta: Annotated[float, "> 0"] = 0.1,
    alpha: Annotated[float, ">= 0"] = 1.0,
) -> Tensor:
    """``-(2 / beta) E log sigmoid(beta [log (pi / pi_0)(refusal) - log (pi / pi_0)(answer)]) + alpha L(D_r)``.

    A refusal becomes likelier and the true answer less likely, until the two are far enough apart that an example contributes
    almost no gradient. log pi is the log-probability of a whole answer, and pi_0 is vanilla
    (Rafailov et al., 2023, equation 7; with refusals as the preferred answers in TOFU, Maini et al., 2024).
    The factor ``2 / beta`` is that of ``npo``: at the start the gradient does not depend on beta.

    Args:
        forget: Scores of the forget examples under the model being unlearned.
        alternative: Scores of refusals as the answers to the same questions, under the same model.
        reference: Scores of the forget examples under vanilla.
        reference_alternative: Scores of the refusals under vanilla.
        retain: Scores of the retain examples under the model being unlearned.
        beta: Inverse temperature, usually 0.05 to 0.5; TOFU's is 0.1.
        alpha: The weight of the retain examples, usually 0 (the DPO paper, TOFU) or 1.
    """
    preferred = alternative.sequence_sum() - reference_alternative.sequence_sum()
    rejected = forget.sequence_sum() - reference.sequence_sum()
    mean = forget.average(F.logsigmoid(beta * (preferred - rejected)))
    return -(2 / beta) * mean + alpha * retain.nll()
