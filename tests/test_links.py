"""Every link in README and the documentation leads somewhere, and so does every page that code, presets and messages name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/unsee/data/**/*.md")])
NAMING = [
    *(
        path
        for folder in ("bench", "src", "tests", "tools", "workflow")
        for path in sorted(ROOT.glob(f"{folder}/**/*.py"))
    ),
    *sorted(ROOT.glob("presets/*.yaml")),
    *sorted(ROOT.glob("profiles/*/config.yaml")),
    *sorted(ROOT.glob("workflow/**/*.smk")),
    *sorted(ROOT.glob("src/unsee/data/**/*.j2")),
    *(ROOT / name for name in ("Snakefile", "Makefile", "config.yaml", "pyproject.toml", "results/README.md")),
]


def links(text: str) -> Iterator[str]:
    """The targets of a page's links and pictures that are no addresses, outside code and comments."""
    prose = re.sub(r"```.*?```|<!--.*?-->|`[^`\n]*`", "", text, flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"", prose):
        link = target[0] or target[1]
        if not re.match(r"[a-z]+:", link):
            yield link


def anchors(text: str) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+ +(.*?) *$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def problem(page: Path, link: str) -> str | None:
    """What is wrong with a link on a page."""
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return f"{page.relative_to(ROOT)}: {link} leads nowhere"
    if anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8")):
        return f"{page.relative_to(ROOT)}: {link}: the page has no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    wrong = [text for link in links(page.read_text(encoding="utf-8")) if (text := problem(page, link))]
    assert not wrong, "\n".join(wrong)


def test_pages_that_code_names_are_there() -> None:
    wrong = []
    for path in NAMING:
        for link in re.findall(r"docs/[\w./-]+\.md(?:#[\w-]+)?", path.read_text(encoding="utf-8")):
            text = problem(ROOT / "README.md", link)
            if text:
                wrong.append(f"{path.relative_to(ROOT)}: {link}")
    assert not wrong, "\n".join(wrong)


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in ROOT.glob("docs/*.md")} - {"README.md"}
    assert pages <= set(links(index)), sorted(pages - set(links(index)))
    notes = (ROOT / "docs" / "notes" / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in ROOT.glob("docs/notes/*.md")} - {"README.md"} <= set(links(notes))


def test_a_dead_link_and_a_dead_heading_are_seen(tmp_path: Path) -> None:
    page = ROOT / "docs" / "results.md"
    assert "leads nowhere" in str(problem(page, "no-such-page.md"))
    assert "no such heading" in str(problem(page, "design.md#no-such-heading"))
    assert problem(page, "design.md#the-stages") is None
    assert list(links('[a](b.md) `[c](d.md)` <img src="e.svg"> [f](https://g)')) == ["b.md", "e.svg"]
