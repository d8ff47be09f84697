"""docs/errors.md, held to what the tests see: one row for each bad input, its message, and when it is said.

``WRITE_PAGES=1 pytest ...`` writes the rows of the tests that run; rows of other tests stay as they are.
"""

from __future__ import annotations

import os
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"
HEAD = """\
# What is refused, when, and in which words

Written by the tests (`WRITE_PAGES=1 pytest`): each row is an input that a test tries and the message that it gets.
`planning` is before the first job, `loading` is while the benchmark or a model is read, `job` is later.
`FOLDER` stands for the path of the files in question.

| input | said at | message |
|---|---|---|
"""
WHEN = ("planning", "loading", "job")


def rows() -> list[str]:
    """The page's rows, sorted."""
    lines = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.is_file() else []
    return sorted({line for line in lines if line.startswith("| ") and not line.startswith("| input |")})


def check(bad_input: str, when: str, message: str) -> None:
    """Assert that a row of the page says this; with ``WRITE_PAGES`` set, write it there.

    Args:
        bad_input: the bad input, in a few words; a literal, so that a row without a test can be found.
        when: one of :data:`WHEN`.
        message: as it is said, with paths replaced by ``FOLDER``.
    """
    assert when in WHEN, when
    row = f"| {_cell(bad_input)} | {when} | {_cell(message)} |"
    if os.environ.get("WRITE_PAGES"):
        kept = [line for line in rows() if not line.startswith(f"| {_cell(bad_input)} |")]
        PAGE.write_text(HEAD + "\n".join(sorted([*kept, row])) + "\n", encoding="utf-8")
    assert row in rows(), f"docs/errors.md lacks this row (WRITE_PAGES=1 writes it):\n{row}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
