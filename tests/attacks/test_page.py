"""docs/attacks.md has every attack, with its kind, its options and its source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from unsee.attacks import catalogue

PAGE = (Path(__file__).parents[2] / "docs" / "attacks.md").read_text(encoding="utf-8")
KINDS = {"weights": "On weights", "picture": "On pictures", "question": "On questions"}
ATTACKS = catalogue.read()
#: Its section is under the heading of another kind: its function changes a question, and the question shows another picture.
ELSEWHERE = {"other_photo": "picture"}


def section(kind: str) -> str:
    """What the page says of a kind."""
    _, rest = PAGE.split(f"\n## {KINDS[kind]}\n")
    return rest.split("\n## ")[0]


def entry(name: str) -> str:
    """What the page says of an attack."""
    kind = ELSEWHERE.get(name, ATTACKS[name].kind)
    _, rest = section(kind).split(f"\n### `{name}`\n")
    return rest.split("\n### ")[0]


def test_the_page_has_every_attack_and_no_other() -> None:
    headings = re.findall(r"^### (.*)$", PAGE, re.MULTILINE)
    assert sorted(headings) == sorted(f"`{name}`" for name in ATTACKS)


@pytest.mark.parametrize("name", ATTACKS)
def test_options_and_source_are_those_of_the_file(name: str) -> None:
    attack, text = ATTACKS[name], entry(name)
    (line,) = re.findall(r"^- Options: (.*)$", text, re.MULTILINE)
    options = {key: yaml.safe_load(value) for key, value in re.findall(r"`(\w+)` `([^`]*)`", line)}
    assert options == {key: option.default for key, option in attack.options.items()}
    assert options or line == "none"
    (source,) = re.findall(r"^- Source: (.*)$", text, re.MULTILINE)
    assert f"({attack.paper})" in source if attack.paper else source
    assert re.search(r"^- It tells: \w", text, re.MULTILINE)
