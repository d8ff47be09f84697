"""Every command line in the documentation means what it looks like: Snakemake's own parser reads it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "config.yaml", *sorted(ROOT.glob("docs/*.md"))]
PAGES += sorted(ROOT.glob("presets/*.yaml")) + sorted(ROOT.glob("profiles/*/config.yaml"))


def commands(page: Path) -> Iterator[str]:
    """The calls of Snakemake on a page, each in one line."""
    text = re.sub(r"\\\n *", "", page.read_text(encoding="utf-8"))
    for line in text.splitlines():
        for call in re.findall(r"(?<![\w./-])snakemake -[^`]*|(?<=`)snakemake [^`]*", line):
            yield re.split(r"  +#|\s\(|(?<!\.)\. |(?<=\.\.\.) [A-Z].*|, where|; ", call)[0].strip()


CALLS = [(page.relative_to(ROOT).as_posix(), call) for page in PAGES for call in commands(page)]


def test_they_are_found() -> None:
    assert len(CALLS) > 20
    assert {"README.md", "config.yaml", "docs/cluster.md", "presets/run-ablation-vl-eraser.yaml"} <= {
        page for page, _ in CALLS
    }


@pytest.mark.parametrize(("page", "call"), CALLS)
def test_a_call_is_what_it_looks_like(page: str, call: str) -> None:
    arguments = get_argument_parser().parse_args(shlex.split(call)[1:])
    for file in arguments.configfile or []:
        # --configfile takes all that follows, a target too.
        assert str(file).endswith(".yaml"), f"{page}: --configfile takes {file} in: {call}"
    for target in arguments.targets or []:
        assert target.startswith("results/") or target == "...", f"{page}: {target} is no target in: {call}"


def test_a_swallowed_target_would_be_seen() -> None:
    call = "snakemake --configfile presets/overlay-seeds.yaml results/table3.csv"
    with pytest.raises(AssertionError, match="--configfile takes results/table3.csv"):
        test_a_call_is_what_it_looks_like("page", call)
