"""Fill in the blank: right or wrong, after normalisation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from unsee.core.text import visible

RULES = ("exact", "contains", "substring")
_ARTICLES = ("a", "an", "the")
#: Signs that distinguish two answers, in a text whose letters are ``a``, digits ``0``, currency signs ``$`` and other characters spaces.
_SIGNS = re.compile(
    r"""(?<=[a0])[+#♭]++(?![a0])                 # at the end of a word: C++, C#, A+, B♭
      | (?:(?<=\ a)|(?<=\ aa))-(?![a0+#♭-])      # behind one or two letters: the blood groups A- and AB-
      | (?<![a0])-(?=0)                          # in front of a number: -5
      | \$(?=\ *0) | (?<=0)\ *\$(?!\ *0)          # a currency before or after a number: $5, 5 €
      | (?<=0)\ *%                               # behind a number: 5 %
    """,
    re.VERBOSE,
)


def score(answer: Mapping[str, Any], *, rule: str) -> dict[str, float]:
    """The metrics of one answer.

    Args:
        answer: ``output``, ``reference``.
        rule: see :func:`matches`.

    Raises:
        ValueError: as for :func:`matches`.
    """
    return {"accuracy": float(matches(answer["output"], answer["reference"], rule))}


def normalise(text: str) -> str:
    """Convert to lower case and :func:`unsee.core.text.visible`, with punctuation and symbols as single spaces and no initial article.

    Letters of every script keep their marks, and a text that is only an article ("A") is kept. Signs are kept if two
    answers could differ in nothing else: ``+``, ``#`` (also ♯) and ♭ at the end of a word (C++, C#, A+), a minus in front of a
    number (-5) and behind one or two letters (the blood group AB-), a currency before or behind a number ($5) and a percent
    sign behind one (5%). A hyphen between words or numbers is a space.
    """
    same = {"\N{MINUS SIGN}": "-", "\N{MUSIC SHARP SIGN}": "#"}
    characters = [same.get(character, character) for character in visible(text).lower()]
    outline = " " + "".join(map(_kind, characters))
    kept = {i - 1 for sign in _SIGNS.finditer(outline) for i in range(*sign.span()) if outline[i] != " "}
    for i, character in enumerate(characters):
        if i in kept:
            if outline[i + 1] in "$%":
                characters[i] = f" {character} "
            elif character == "-" and outline[i] not in "a0":
                characters[i] = " -"
        elif unicodedata.category(character)[0] in "PS":
            characters[i] = " "
    words = "".join(characters).split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)


def _kind(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] in "LM":
        return "a"
    if category == "Sc":
        return "$"
    return "0" if category[0] == "N" else character if character in "+#♭-%" else " "


def matches(output: str, reference: str, rule: str = "exact") -> bool:
    """Whether an answer is the reference.

    Args:
        output: what the model wrote.
        reference: the right answer. If it has signs only ("€", "?!"), it is compared after
            :func:`unsee.core.text.visible` only, with single spaces.
        rule: ``exact``, ``contains`` (the reference's words in a row anywhere in the answer), or ``substring``: the reference's
            characters anywhere in the answer, in lower case. That is the rule of the published evaluations: it accepts "party" for
            "art", and any answer for an empty reference.

    Raises:
        ValueError: the reference has no visible character (not raised under ``substring``), or there is no such rule.
    """
    if rule not in RULES:
        raise ValueError(f"evaluation.cloze_rule is {rule!r}; expected one of exact, contains")
    if rule == "substring":
        return reference.lower() in output.lower()
    answer, expected = normalise(output), normalise(reference)
    if expected:
        return answer == expected if rule == "exact" else f" {expected} " in f" {answer} "
    answer, expected = (" ".join(visible(text).split()) for text in (output, reference))
    if not expected:
        raise ValueError(f"the reference {reference!r} has nothing to compare with; expected text that can be seen")
    return answer == expected if rule == "exact" else expected in answer
