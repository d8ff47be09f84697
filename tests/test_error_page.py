"""docs/errors.md has no row that no test stands behind."""

from __future__ import annotations

import ast
from pathlib import Path

from tests import error_page


def test_every_row_is_of_an_input_that_a_test_names() -> None:
    trees = (ast.parse(file.read_text(encoding="utf-8")) for file in Path(__file__).parent.rglob("test_*.py"))
    constants = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    literals = {error_page._cell(value) for value in constants if isinstance(value, str)}
    for row in error_page.rows():
        bad_input = row.split(" | ")[0].removeprefix("| ")
        assert bad_input in literals, f"no test names {bad_input!r}; delete the row"


def test_every_input_has_one_row() -> None:
    inputs = [row.split(" | ")[0] for row in error_page.rows()]
    assert len(inputs) == len(set(inputs)), sorted({row for row in inputs if inputs.count(row) > 1})


def test_the_page_is_as_the_tests_write_it() -> None:
    if error_page.PAGE.is_file():
        text = error_page.PAGE.read_text(encoding="utf-8")
        assert text == error_page.HEAD + "\n".join(error_page.rows()) + "\n"
