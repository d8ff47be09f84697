"""Limits on the structure of the code: no import cycles, short files and functions, few vague names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import counts

ROOT = Path(__file__).parents[1]
#: Files and functions that exceed a limit, and why.
ALLOWED: dict[str, str] = {}
#: Modules that import each other, and why.
ALLOWED_CYCLES: dict[str, str] = {}
#: How often code may use a vague name, by folders; the highest counts so far. A name that is not listed has no use.
MOST_VAGUE_NAMES: dict[tuple[str, ...], dict[str, int]] = {
    counts.LIMITED: {"known": 3},
    ("tests", "tools", "bench"): {"given": 10},  # hypothesis.given
}


def test_no_modules_import_each_other() -> None:
    cycles = {cycle[0]: cycle for cycle in counts.module_cycles(ROOT)}
    assert cycles.keys() == ALLOWED_CYCLES.keys(), list(cycles.values())


def test_files_and_functions_are_short() -> None:
    """An entry of the list that is no longer needed fails too."""
    exceeding = counts.long_files(ROOT) | counts.long_functions(ROOT)
    assert exceeding.keys() == ALLOWED.keys(), exceeding


@pytest.mark.parametrize("folders", MOST_VAGUE_NAMES, ids=" ".join)
def test_vague_names_do_not_spread(folders: tuple[str, ...]) -> None:
    names, most = counts.vague_names(ROOT, *folders), MOST_VAGUE_NAMES[folders]
    assert not {name: count for name, count in names.items() if count > most.get(name, 0)}


def test_the_counts_of_a_small_project(tmp_path: Path) -> None:
    package = tmp_path / "src" / "unsee"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "first.py").write_text("from unsee import second\n\nfound = 'found'  # found\n")
    (package / "second.py").write_text("def read():\n    import unsee.third\n" + "    pass\n" * 59)
    (package / "third.py").write_text("from unsee.first import found\n" + "\n" * 350)
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "Snakefile").write_text("rule all:\n    input: []\n")
    for name in ("Snakefile", "config.yaml", "README.md"):
        (tmp_path / name).write_text("rule table:\n" if name == "Snakefile" else "")
    assert counts.module_cycles(tmp_path) == [["unsee.first", "unsee.second", "unsee.third"]]
    assert counts.long_files(tmp_path) == {"src/unsee/third.py": 351}
    assert counts.long_functions(tmp_path) == {"src/unsee/second.py:read": 61}
    assert counts.vague_names(tmp_path, "src")["found"] == 2
    assert counts.lines_by_folder(tmp_path)["src/unsee"] == 415
    assert counts.count_rules(tmp_path) == 2
    assert "| import cycles " in counts.report(tmp_path)
