"""Open answers: overlap with the reference (ROUGE, BLEU)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from unsee.core.text import visible
from unsee.evaluation.likelihoods import probability_and_truth_ratio
from unsee.evaluation.metrics import names

METRICS = names("generation")

#: Scripts written without spaces between words: Thai, Lao, Burmese, Khmer, kana and Chinese characters.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(f"[{_UNSPACED}]|[^ {_UNSPACED}]+")


def score(answer: Mapping[str, Any], **arguments: bool) -> dict[str, float]:
    """The metrics of one answer to an open question, or of the likelihoods of its right answer and of wrong ones.

    Args:
        answer: ``task``, and ``output, reference`` or ``option_log_likelihoods, option_tokens, answer_index``.
        arguments: see :func:`overlap`.

    Raises:
        ValueError: likelihoods that cannot be scored.
    """
    if answer["task"] == "likelihood":
        return probability_and_truth_ratio(answer)
    return overlap(answer["output"], answer["reference"], **arguments)


def overlap(output: str, reference: str, *, stemmer: bool = True, every_script: bool = True) -> dict[str, float]:
    """ROUGE-L, ROUGE-1 and ROUGE-2 F1, and smoothed sentence BLEU, each 0 to 1.

    ROUGE is rouge-score's, on the words of :func:`words`: ASCII text has the library's own words and scores. BLEU is
    NLTK's, up to four-grams of words split at white space, case-sensitive, smoothed by method 1 of Chen and Cherry (2014):
    an answer of fewer than four words stays below 1 even if it is right.

    A reference of signs only has no words: every metric is 1 if the answer equals it, otherwise 0.

    Args:
        output: what the model wrote.
        reference: the right answer.
        stemmer: reduce English words to their stem (Porter's, as rouge-score has it) before ROUGE compares them.
        every_script: False for the library's own words, runs of a-z and 0-9, as in published evaluations: text in
            another script scores 0.
    """
    return dict(zip(METRICS, _overlap(output, reference, stemmer, every_script), strict=True))


def words(text: str) -> list[str]:
    """The words that ROUGE compares: in lower case, runs of letters, marks and digits of any script.

    Words are those of the text after :func:`unsee.core.text.visible`. In a script without spaces between words, each character
    is a word. For ASCII text these are rouge-score's words before stemming.
    """
    kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in visible(text).lower())
    return _WORD.findall("".join(kept))


class _Tokenizer:
    """A tokenizer for rouge-score: :func:`words`, with those of a-z and 0-9 stemmed by the library."""

    def __init__(self, stemmer: bool) -> None:
        from rouge_score.tokenizers import DefaultTokenizer

        self._library = DefaultTokenizer(stemmer)

    def tokenize(self, text: str) -> list[str]:
        if text.isascii():
            return list(self._library.tokenize(text))
        return [part for word in words(text) for part in (self._library.tokenize(word) if word.isascii() else [word])]


@cache
def _scorer(stemmer: bool, every_script: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    tokenizer = _Tokenizer(stemmer) if every_script else None
    return RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stemmer, tokenizer=tokenizer)


@lru_cache(maxsize=65536)
def _overlap(output: str, reference: str, stemmer: bool, every_script: bool) -> tuple[float, ...]:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    if every_script and not words(reference):  # signs alone ("☺"): the same, or not
        same = visible(output).split() == visible(reference).split()
        return (float(same),) * len(METRICS)
    rouge = _scorer(stemmer, every_script).score(reference, output)
    if every_script:
        output, reference = (re.sub(f"([{_UNSPACED}])", r" \1 ", text) for text in (output, reference))
    bleu = sentence_bleu([reference.split()], output.split(), smoothing_function=SmoothingFunction().method1)
    return (*(float(rouge[name].fmeasure) for name in ("rougeL", "rouge1", "rouge2")), float(bleu))
