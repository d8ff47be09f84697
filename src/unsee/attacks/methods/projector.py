"""The base model's vision tower and projector put back.

A model that has forgotten in its eyes only still knows the people: its decoder needs no more than another picture of them.
Without a trained tower or projector this changes nothing, and the plan refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator

from unsee.attacks.attack import State, Weights, attack


@attack("projector", label="original projector", needs=("trained_projector",))
def projector(weights: Weights) -> Iterator[State]:
    """Replace every module of the model but the decoder, embeddings and output projection.

    Args:
        weights: the model.
    """
    vlm, base = weights.vlm, weights.base()
    decoder = base.family.language_model(base.base)
    for name, module in base.base.model.named_children():
        if module is not decoder:
            setattr(vlm.base.model, name, module.to(vlm.device))
    yield State()
