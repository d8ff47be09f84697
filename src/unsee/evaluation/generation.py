"""Open answers: how much of the reference is there, in order (ROUGE, BLEU)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

METRICS = ("rouge_l", "rouge_1", "rouge_2", "bleu")


def overlap(output: str, reference: str) -> dict[str, float]:
    """ROUGE-L, ROUGE-1 and ROUGE-2 F1 with stemming, and smoothed sentence BLEU, each 0 to 1.

    ROUGE is rouge-score's, whose words are runs of a-z and 0-9: text in another script scores 0. BLEU is NLTK's, of
    up to four words, split at white space and in their own case, smoothed by method 1 of Chen and Cherry (2014): an
    answer of fewer than four words stays below 1 even where it is right.

    Args:
        output: what the model wrote.
        reference: what it should have.
    """
    return dict(zip(METRICS, _overlap(output, reference), strict=True))


def overlaps(outputs: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """:func:`overlap` of many answers, (n, 4) in the order of ``METRICS``; equal pairs are scored once.

    Raises:
        ValueError: lists of two lengths.
    """
    pairs = list(zip(outputs, references, strict=True))
    return np.array([_overlap(*pair) for pair in pairs], dtype=np.float64).reshape(len(pairs), len(METRICS))


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)


@lru_cache(maxsize=65536)
def _overlap(output: str, reference: str) -> tuple[float, ...]:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    rouge = _scorer().score(reference, output)
    bleu = sentence_bleu([reference.split()], output.split(), smoothing_function=SmoothingFunction().method1)
    return (*(float(rouge[name].fmeasure) for name in ("rougeL", "rouge1", "rouge2")), float(bleu))
