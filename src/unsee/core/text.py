"""Normalise texts for comparison: Unicode can encode texts that look the same in several ways."""

from __future__ import annotations

import unicodedata


def visible(text: str) -> str:
    """Normalise to NFKC (full-width digits, ligatures, composed accents) and remove invisible characters.

    Invisible characters are joiners, soft hyphens, marks of direction (category Cf) and variation selectors.
    """
    if text.isascii():
        return text
    return "".join(c for c in unicodedata.normalize("NFKC", text) if not _invisible(c))


def _invisible(character: str) -> bool:
    selector = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    return selector or unicodedata.category(character) == "Cf"


def comparable(text: str) -> str:
    """Normalise with :func:`visible`, and remove differences of case and white space."""
    return " ".join(visible(text).casefold().split())
