"""MMUnlearner's mask, and that nothing outside it ever moves for the forgotten."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unsee.training.scores import Scores
from unsee.unlearning.mmunlearner import State, mask, mmunlearner


def test_mask_by_hand() -> None:
    forget = torch.tensor([4.0, 1.0, 2.0, 0.0, 1e-20])
    preserve = torch.tensor([2.0, 2.0, 2.0, 0.0, 1.0])
    assert mask(forget, preserve, 1.0).tolist() == [True, False, True, True, False]
    assert mask(forget, preserve, 2.0).tolist() == [True, False, False, False, False]


def test_gradient_is_masked_ascent_plus_descent() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
    state = State([weight], [torch.tensor([True, False, True])])
    example = torch.zeros(1, dtype=torch.long)
    forget = Scores(-(weight**2).sum()[None], example, 1)  # NLL = sum of squares, gradient 2 w
    retain = Scores(-(weight * torch.tensor([1.0, 10.0, 100.0])).sum()[None], example, 1)
    loss = mmunlearner(forget, retain, state)
    assert loss.item() == pytest.approx(1 + 20 + 300 - 14)
    loss.backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [1 - 2, 10, 100 - 6]


def test_adam_moves_nothing_outside_the_mask_for_the_forgotten() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    state = State([weight], [torch.tensor([True, False])])
    optimizer = torch.optim.Adam([weight], lr=0.1)
    example = torch.zeros(1, dtype=torch.long)
    for _ in range(5):
        optimizer.zero_grad()
        nothing = Scores((weight * 0).sum()[None], example, 1)
        mmunlearner(Scores(-(weight**2).sum()[None], example, 1), nothing, state).backward()
        optimizer.step()
    assert weight[0].item() != 1.0
    assert weight[1].item() == 2.0
