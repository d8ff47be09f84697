"""Dropout from random bytes has the statistics of dropout."""

from __future__ import annotations

import pytest
import torch

from unsee.training.dropout import ByteDropout


def test_the_share_of_zeros_and_the_scale_of_the_rest() -> None:
    torch.manual_seed(0)
    n, cut = 1_000_003, 13  # not a multiple of eight; 13/256 is the multiple of 1/256 nearest to 0.05
    x = torch.ones(n, requires_grad=True)
    dropout = ByteDropout(0.05).train()
    y = dropout(x)
    zeros = int((y == 0).sum())
    expected, deviation = n * cut / 256, (n * cut / 256 * (1 - cut / 256)) ** 0.5
    assert abs(zeros - expected) < 5 * deviation
    assert y[y != 0].unique().tolist() == pytest.approx([256 / (256 - cut)])
    y.sum().backward()
    assert torch.equal(x.grad, y.detach()), "the gradient goes the way the value went"
    # Neighbours share a draw of the generator, but are dropped independently.
    both = int(((y[:-1] == 0) & (y[1:] == 0)).sum())
    assert abs(both - n * (cut / 256) ** 2) < 5 * (n * (cut / 256) ** 2) ** 0.5


def test_nothing_is_dropped_in_evaluation_or_at_probability_zero() -> None:
    x = torch.randn(5, 7)
    assert ByteDropout(0.5).eval()(x) is x
    assert ByteDropout(0.0).train()(x) is x


def test_the_mask_depends_on_the_seed() -> None:
    x = torch.ones(1000)
    dropout = ByteDropout(0.3).train()
    torch.manual_seed(1)
    first = dropout(x)
    torch.manual_seed(1)
    assert torch.equal(first, dropout(x))
    assert not torch.equal(first, dropout(x))
