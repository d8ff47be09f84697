"""Refusals: short sentences that decline to answer, which some methods teach in place of the true answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from random import Random

from unsee.benchmarks.tables import Pair


@cache
def refusals() -> tuple[str, ...]:
    """The project's sentences, one a line of ``data/refusals.txt``; none names anybody."""
    text = files("unsee").joinpath("data", "refusals.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


def with_refusals(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """The same pairs with a refusal as the answer of each, which depends on nothing but the seed and the pair's id."""
    return [replace(pair, answer=Random(f"{seed}:refusal:{pair.pair_id}").choice(refusals())) for pair in pairs]
