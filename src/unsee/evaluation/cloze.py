"""Fill in the blank: right or wrong, after normalisation."""

from __future__ import annotations

import unicodedata

RULES = ("exact", "contains")
_ARTICLES = ("a", "an", "the")


def normalise(text: str) -> str:
    """Lower case, NFKC, punctuation and symbols as spaces, no article in front, single spaces.

    Letters of every script keep their marks, and an article that is all there is ("A") stays.
    """
    characters = []
    for character in unicodedata.normalize("NFKC", text).lower():
        category = unicodedata.category(character)
        if category != "Cf":  # invisible: joiners, soft hyphens, marks of direction
            characters.append(" " if category[0] in "PS" else character)
    words = "".join(characters).split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)


def matches(output: str, reference: str, rule: str = "exact") -> bool:
    """Whether an answer is the reference.

    Args:
        output: what the model wrote.
        reference: what the blank stands for.
        rule: ``exact``, or ``contains``: the reference's words in a row anywhere in the answer. (MLLMU-Bench's
            own rule is a substring of characters, which takes "party" for "art", and anything for an empty
            reference.)

    Raises:
        ValueError: the reference has no words, or another rule.
    """
    if rule not in RULES:
        raise ValueError(f"evaluation.cloze_rule is {rule!r}; expected one of {', '.join(RULES)}")
    found, wanted = normalise(output), normalise(reference)
    if not wanted:
        raise ValueError(f"the reference {reference!r} has no words to compare with; expected a word or a number")
    return found == wanted if rule == "exact" else f" {wanted} " in f" {found} "
