"""Write the graph of the rules into README.md: `python -m tools.rule_graph`.

Snakemake gives the graph of the default target. An edge is left out if a longer path joins the same two rules.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
START, END = "```mermaid\nflowchart LR\n", "```\n"


def rule_graph() -> set[tuple[str, str]]:
    """The edges of the graph: a rule, and a rule that reads its outputs."""
    with tempfile.TemporaryDirectory() as folder:  # without results, every rule is in the graph
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", folder]
        text = subprocess.run(
            [*command, "--rulegraph", "mermaid-js"], capture_output=True, text=True, check=True
        ).stdout
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", text))
    edges = {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", text)}
    return {(a, b) for a, b in edges if b != "all"}


def reduced(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The edges of an acyclic graph without those that a longer path makes superfluous."""

    def reachable(start: str) -> set[str]:
        following = {b for a, b in edges if a == start}
        return following.union(*map(reachable, following))

    return {(a, b) for a, b in edges if not any(b in reachable(other) for c, other in edges if c == a and other != b)}


def block() -> str:
    """The Mermaid block."""
    return START + "".join(f"  {a} --> {b}\n" for a, b in sorted(reduced(rule_graph()))) + END


def with_block(page: str, block: str) -> str:
    """A page with another graph in the place of its own."""
    before, rest = page.split(START)
    return before + block + rest.split(END, 1)[1]


if __name__ == "__main__":
    README.write_text(with_block(README.read_text(encoding="utf-8"), block()), encoding="utf-8")
