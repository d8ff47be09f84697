"""Find people's names in texts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from unsee.benchmarks.schema import BenchmarkError
from unsee.core.text import comparable


def people_named(text: str, names: Iterable[str]) -> set[str]:
    """The names that occur in a text as whole words; a name within a longer one that occurs does not count."""
    words = _words(text)
    named = {name for name in names if _is_in(_words_of_name(name), words)}
    if len(named) < 2:
        return named
    keys = {name: _words_of_name(name) for name in named}
    return {name for name, key in keys.items() if not any(key != other and key in other for other in keys.values())}


def check_about(where: str, field: str, text: str, name: str, names: set[str]) -> None:
    """Refuse a text that names other people of the data set and not the person that its row is about.

    Args:
        where: file and row.
        field: the column of the text, for the error message.
        text: the text.
        name: the person of the row.
        names: all people.

    Raises:
        BenchmarkError: the text names other people only.
    """
    named = people_named(text, names)
    if named and name not in named:
        raise BenchmarkError(
            f"{where}: name is {name!r} and {field} names {min(named)!r}; expected a row about one person"
        )


def _is_in(name: str, words: str) -> bool:
    # Some scripts separate no words, so other names are searched as substrings.
    return bool(name) and (f" {name} " in f" {words} " if name.isascii() else name in words)


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", comparable(text)))


_words_of_name = cache(_words)
