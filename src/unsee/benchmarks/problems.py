"""What is wrong with a data set, collected while it is read, so that one error names all of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from unsee.benchmarks.schema import BenchmarkError

#: So many of a file are listed, the others counted.
LISTED = 10


class Problems:
    """Sentences about files and rows: the first :data:`LISTED` of each file, and how many there are."""

    def __init__(self) -> None:
        self._sentences: dict[str, list[str]] = defaultdict(list)
        self._counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, where: str, sentence: str) -> None:
        """One more.

        Args:
            where: ``{file}`` or ``{file}, row {number}``; findings are listed and counted by file.
            sentence: what it is, with its place.
        """
        file = where.rpartition(", row ")[0] or where
        self._counts[file] += 1
        if len(self._sentences[file]) < LISTED:
            self._sentences[file].append(sentence)

    @contextmanager
    def collect(self, where: str) -> Iterator[None]:
        """Turn a BenchmarkError of the block into a finding, and go on behind the block."""
        try:
            yield
        except BenchmarkError as error:
            self.add(where, str(error))

    def lines(self) -> list[str]:
        """The sentences, file by file, each file's with the number of those left out."""
        lines = []
        for file, sentences in self._sentences.items():
            lines += sentences
            if more := self._counts[file] - len(sentences):
                lines.append(f"{file}: and {more} more")
        return lines

    def raise_if_any(self) -> None:
        """Raise what was found as one error.

        Raises:
            BenchmarkError: something was found; a line for each finding.
        """
        if self:
            raise BenchmarkError("\n".join(self.lines()))
