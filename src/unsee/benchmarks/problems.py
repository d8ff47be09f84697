"""Collect the problems of a data set while it is read, so that one error lists all of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from unsee.benchmarks.schema import BenchmarkError

#: Problems listed for each file; further ones are counted.
LISTED = 10


class Problems:
    """Sentences about files and rows: the first :data:`LISTED` of each file, and how many there are."""

    def __init__(self) -> None:
        self._sentences: dict[str, list[str]] = defaultdict(list)
        self._counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, where: str, sentence: str) -> None:
        """Add a problem.

        Args:
            where: ``{file}`` or ``{file}, row {number}``; problems are listed and counted by file.
            sentence: the whole sentence, with its place.
        """
        file = where.rpartition(", row ")[0] or where
        self._counts[file] += 1
        if len(self._sentences[file]) < LISTED:
            self._sentences[file].append(sentence)

    @contextmanager
    def collect(self, where: str) -> Iterator[None]:
        """Add a BenchmarkError of the block as a problem, and continue after the block."""
        try:
            yield
        except BenchmarkError as error:
            self.add(where, str(error))

    def lines(self) -> list[str]:
        """The sentences, grouped by file, with the number of those that are not listed."""
        lines = []
        for file, sentences in self._sentences.items():
            lines += sentences
            if more := self._counts[file] - len(sentences):
                lines.append(f"{file}: and {more} more")
        return lines

    def raise_if_any(self) -> None:
        """Raise all problems as one error.

        Raises:
            BenchmarkError: there are problems; a line for each of them.
        """
        if self:
            raise BenchmarkError("\n".join(self.lines()))
