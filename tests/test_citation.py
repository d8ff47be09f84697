"""CITATION.cff, CHANGELOG.md and the package are of one version; the citation has what the format asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

import unsee

ROOT = Path(__file__).parents[1]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_one_version_everywhere() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    releases = re.findall(
        r"^## \[(\d\S*)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert package["version"] == unsee.__version__ == CITATION["version"] == releases[0][0]
    assert CITATION["date-released"] == releases[0][1] and re.fullmatch(r"\d{4}-\d\d-\d\d", releases[0][1])
    assert CITATION["license"] == package["license"]


def test_the_citation_has_the_required_keys() -> None:
    """Those of the Citation File Format 1.2.0: https://github.com/citation-file-format/citation-file-format."""
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    assert all(isinstance(CITATION[key], str) for key in ("message", "title", "abstract"))
    for work in (CITATION, *CITATION["references"]):
        assert work["title"] and work["authors"]
        for author in work["authors"]:
            assert set(author) in ({"name"}, {"given-names", "family-names"})
    for reference in CITATION["references"]:
        assert reference["type"] == "conference-paper" and isinstance(reference["year"], int)
        assert reference["url"].startswith("https://") and reference["conference"]["name"]


def test_the_changelog_has_the_sections_of_keep_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(\w+)\]", text, re.MULTILINE)[0] == "Unreleased"
    allowed = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= allowed
