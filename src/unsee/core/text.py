"""Text as it is compared: Unicode has several ways to write what looks the same."""

from __future__ import annotations

import unicodedata


def visible(text: str) -> str:
    """Compatible forms as one (NFKC: full-width digits, ligatures, composed accents), without invisible characters.

    Invisible are joiners, soft hyphens, marks of direction (category Cf) and variation selectors.
    """
    if text.isascii():
        return text
    return "".join(c for c in unicodedata.normalize("NFKC", text) if not _invisible(c))


def _invisible(character: str) -> bool:
    selector = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    return selector or unicodedata.category(character) == "Cf"


def comparable(text: str) -> str:
    """:func:`visible`, without differences of case and white space: equal where two texts say the same."""
    return " ".join(visible(text).casefold().split())
