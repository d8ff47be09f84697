"""``modality`` chooses the training pairs that are forgotten."""

from __future__ import annotations

import pytest

from unsee.benchmarks.schema import BenchmarkError
from unsee.benchmarks.tables import Pair
from unsee.unlearning import run


@pytest.mark.parametrize(("modality", "kept"), [("both", ["a", "b"]), ("image", ["a"]), ("text", ["b"])])
def test_the_pairs_to_forget_of_a_modality(modality: str, kept: list[str]) -> None:
    pairs = [Pair("a", "p", "p/profile", "Who?", "Ada"), Pair("b", "p", None, "Where?", "Rome")]
    assert [pair.pair_id for pair in run.of_modality(pairs, modality)] == kept


def test_a_modality_without_pairs_is_refused() -> None:
    with pytest.raises(
        BenchmarkError, match="none of the 1 pairs to forget is without a picture, and modality is text"
    ):
        run.of_modality([Pair("a", "p", "p/profile", "Who?", "Ada")], "text")
