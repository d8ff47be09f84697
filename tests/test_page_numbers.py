"""No number in README and docs without something behind it, and none that is no longer true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tools import page_numbers

ROOT = Path(__file__).parents[1]
PAGES = page_numbers.pages()
REGISTRY = page_numbers.registry()
ENTRIES = [
    (page, phrase, behind)
    for page, phrases in REGISTRY.items()
    if page not in ("generated", "everywhere")
    for phrase, behind in phrases.items()
]
MARKS = [
    (name, *mark)
    for name, page in PAGES.items()
    for mark in re.findall(r"<!-- (?:[\w ]+, )?(written by|measured on) ([^>]+?)(?: from here)? -->", page)
]


@pytest.mark.parametrize("name", PAGES)
def test_every_number_has_something_behind_it(name: str) -> None:
    phrases = REGISTRY["everywhere"] | REGISTRY.get(name, {})
    lines = PAGES[name].splitlines()
    wrong = [
        f"{number.text} in line {number.line}: {lines[number.line - 1]}"
        for number in page_numbers.orphans(PAGES[name], phrases)
    ]
    assert not wrong, f"{name}: add a phrase to docs/numbers.yaml, or leave the number out:\n" + "\n".join(wrong)


@pytest.mark.parametrize(("name", "phrase", "behind"), ENTRIES)
def test_what_is_said_is_still_so(name: str, phrase: str, behind: Any) -> None:
    assert name in PAGES, f"docs/numbers.yaml: there is no page {name}"
    assert page_numbers.problem(PAGES[name], phrase, behind) is None


@pytest.mark.parametrize(("phrase", "behind"), REGISTRY["everywhere"].items())
def test_what_is_said_everywhere_is_still_so(phrase: str, behind: Any) -> None:
    pages = [page for page in PAGES.values() if phrase in page]
    assert pages and page_numbers.problem(pages[0], phrase, behind) is None


@pytest.mark.parametrize(("name", "kind", "what"), MARKS)
def test_marks_name_a_script_or_a_day_and_a_command_that_exist(name: str, kind: str, what: str) -> None:
    if kind == "written by":
        assert (ROOT / what).is_file(), name
        return
    day, _, command = what.partition(" by ")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", day), name
    module = re.match(r"python -m ([\w.]+)", command)
    target = re.match(r"make ([\w-]+)", command)
    if module:
        path = ROOT / module[1].replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file() or (ROOT / "src" / path.relative_to(ROOT)).exists(), (
            name
        )
    elif target:
        assert re.search(rf"^{target[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), name
    else:
        assert command.startswith("snakemake "), name


def test_a_number_that_nothing_stands_behind_is_seen() -> None:
    block = "<!-- written by tools/a.py from here -->\n| 8 |\n<!-- to here -->\n"
    page = f"It takes 7 minutes.\n\n{block}`--cores 9` and LLaVA-1.5-7B, 0 to 1\n"
    assert [(number.text, number.line) for number in page_numbers.orphans(page, {})] == [("7", 1)]
    assert page_numbers.orphans(page, {"takes 7 minutes": "7"}) == []
    assert [number.text for number in page_numbers.orphans("with six new methods, 1,000 pairs and 2e-6", {})] == [
        "six",
        "1,000",
        "2e-6",
    ]


def test_a_phrase_covers_its_own_numbers_only() -> None:
    (number,) = page_numbers.orphans("4 steps of 4 pairs", {"of 4 pairs": "4"})
    assert number.start == 0


@pytest.mark.parametrize(
    ("behind", "message"),
    [
        ("3", "3 is 3"),
        ("(4, 5)", "is 4, 5"),
        ("config('no.such.key')", "cannot be evaluated: KeyError"),
        ({"holds": "LICENSE.none"}, None),
        ({"holds": "Snakefile"}, "Snakefile does not have 4444"),
        ({"cites": ""}, "expected an expression"),
    ],
)
def test_a_number_that_is_no_longer_true_is_seen(behind: Any, message: str | None) -> None:
    if message is None:
        with pytest.raises(FileNotFoundError):
            page_numbers.problem("4444 steps", "4444 steps", behind)
        return
    assert message in str(page_numbers.problem("4444 steps", "4444 steps", behind))
    assert page_numbers.problem("4444 steps", "4444 steps", "4444") is None
    assert "does not have this phrase" in str(page_numbers.problem("5 steps", "4444 steps", "4444"))


def test_numbers_are_compared_as_they_are_printed() -> None:
    assert page_numbers.problem("0.19 at 4.4", "0.19 at 4.4", "(1 / 5.4, 4.4)") is None
    assert page_numbers.problem("0.18 at 4.4", "0.18 at 4.4", "(1 / 5.4, 4.4)")
