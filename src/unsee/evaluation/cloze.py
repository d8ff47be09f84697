"""Fill in the blank: right or wrong, after normalisation."""

from __future__ import annotations

import re
import unicodedata


def normalise(text: str) -> str:
    """Lower case, NFKC, without punctuation and leading article, single spaces."""
    words = re.sub(r"[^\w\s]|_", " ", unicodedata.normalize("NFKC", text).lower()).split()
    return " ".join(words[1:] if words[:1] in (["a"], ["an"], ["the"]) else words)


def matches(output: str, reference: str, rule: str = "exact") -> bool:
    """Whether an answer is the reference.

    Args:
        output: what the model wrote.
        reference: what the blank stands for.
        rule: ``exact``, or ``contains``: the reference's words in a row anywhere in the answer. (MLLMU-Bench's own
            rule is a substring of characters, which takes "art" for "party".)

    Raises:
        ValueError: the reference has no words, or another rule.
    """
    found, wanted = normalise(output), normalise(reference)
    if not wanted:
        raise ValueError(f"the reference {reference!r} has no words to compare with")
    if rule == "exact":
        return found == wanted
    if rule == "contains":
        return f" {wanted} " in f" {found} "
    raise ValueError(f"evaluation.cloze_rule is {rule!r}; expected 'exact' or 'contains'")
