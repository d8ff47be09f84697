"""Open answers: how much of the reference is there, in order (ROUGE, BLEU)."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

METRICS = ("rouge_l", "rouge_1", "rouge_2", "bleu")


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)


@lru_cache(maxsize=65536)
def overlap(output: str, reference: str) -> dict[str, float]:
    """ROUGE-L, ROUGE-1 and ROUGE-2 F1 with stemming, and smoothed sentence BLEU, each 0 to 1.

    Args:
        output: what the model wrote.
        reference: what it should have.
    """
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    rouge = _scorer().score(reference, output)
    bleu = sentence_bleu([reference.split()], output.split(), smoothing_function=SmoothingFunction().method1)
    return {
        "rouge_l": rouge["rougeL"].fmeasure,
        "rouge_1": rouge["rouge1"].fmeasure,
        "rouge_2": rouge["rouge2"].fmeasure,
        "bleu": float(bleu),
    }
