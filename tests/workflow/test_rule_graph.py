"""The graph in README.md is that of the rules."""

from __future__ import annotations

from tools import rule_graph


def test_a_longer_path_replaces_an_edge() -> None:
    edges = {("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d"), ("e", "d")}
    assert rule_graph.reduced(edges) == {("a", "b"), ("b", "c"), ("c", "d"), ("e", "d")}


def test_the_readme_shows_the_rules() -> None:
    page = rule_graph.README.read_text(encoding="utf-8")
    assert rule_graph.with_block(page, rule_graph.block()) == page, "python -m tools.rule_graph writes it anew"
