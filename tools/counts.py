"""Print the size of the code base, its import cycles, long files and functions, and vague names as Markdown tables.

    python -m tools.counts

tests/test_structure.py holds the code to the limits below.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import networkx
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
TOP_LEVEL = ("README.md", "Snakefile", "config.yaml")
FOLDERS = ("src", "workflow", "tests", "tools", "bench", "docs", "presets", "envs", "profiles")
SUFFIXES = (".py", ".smk", ".md", ".yaml")
#: The limits hold in these folders.
LIMITED = ("src", "workflow")
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 60
#: Names that do not say which thing they hold.
VAGUE_NAMES = ("found", "asked", "given", "chosen", "own", "known", "told", "understood")


def source_files(root: Path, *folders: str) -> list[Path]:
    """Files of code, text and configuration below some folders, as paths relative to ``root``."""
    paths = (path for folder in folders for path in sorted((root / folder).rglob("*")))
    files = (path.relative_to(root) for path in paths if path.suffix in SUFFIXES or path.name == "Snakefile")
    return [path for path in files if "data" not in path.parts]


def count_lines(root: Path, path: Path) -> int:
    """The number of lines of a file."""
    return len((root / path).read_text(encoding="utf-8").splitlines())


def lines_by_folder(root: Path) -> pd.Series[int]:
    """Lines per folder; a package of the library and a folder of tests count by themselves."""
    counts: Counter[str] = Counter()
    for path in [*source_files(root, *FOLDERS), *map(Path, TOP_LEVEL)]:
        depth = 3 if path.parts[0] == "src" else 2
        counts["/".join(path.parent.parts[:depth]) or path.name] += count_lines(root, path)
    return pd.Series(counts, name="lines").sort_index()


def count_rules(root: Path) -> int:
    """The number of Snakemake rules, with the rule ``all``."""
    paths = [Path("Snakefile"), *source_files(root, "workflow")]
    texts = ((root / path).read_text(encoding="utf-8") for path in paths if path.suffix in ("", ".smk"))
    return sum(len(re.findall(r"^rule \w+:", text, re.MULTILINE)) for text in texts)


def long_files(root: Path) -> dict[str, int]:
    """Lines of each Python and Snakemake file that exceeds the limit, by its path."""
    paths = [path for path in source_files(root, *LIMITED) if path.suffix in (".py", ".smk")]
    lines = {path.as_posix(): count_lines(root, path) for path in paths}
    return {path: count for path, count in lines.items() if count > MAX_FILE_LINES}


def long_functions(root: Path) -> dict[str, int]:
    """Lines of each function that exceeds the limit, by ``path:name``."""
    lines = {}
    for path, tree in parsed(root, *LIMITED):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                lines[f"{path.as_posix()}:{node.name}"] = node.end_lineno - node.lineno + 1
    return {name: count for name, count in lines.items() if count > MAX_FUNCTION_LINES}


def module_cycles(root: Path) -> list[list[str]]:
    """Sets of modules of the library that import each other, directly or through others, at any place in their code."""
    trees = {
        ".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__"): tree for path, tree in parsed(root, "src")
    }
    imports = networkx.DiGraph()
    for module, tree in trees.items():
        imports.add_edges_from((module, name) for name in imported(tree) if name in trees and name != module)
    components = networkx.strongly_connected_components(imports)
    return sorted(sorted(component) for component in components if len(component) > 1)


def vague_names(root: Path, *folders: str) -> dict[str, int]:
    """How often code uses each of :data:`VAGUE_NAMES` as a name; strings and comments do not count."""
    counts = dict.fromkeys(VAGUE_NAMES, 0)
    for path in source_files(root, *folders):
        if path.suffix in (".py", ".smk"):
            for token in tokenize.generate_tokens(io.StringIO((root / path).read_text(encoding="utf-8")).readline):
                if token.type == tokenize.NAME and token.string in counts:
                    counts[token.string] += 1
    return counts


def parsed(root: Path, *folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Each Python file below some folders, and its syntax tree."""
    for path in source_files(root, *folders):
        if path.suffix == ".py":
            yield path, ast.parse((root / path).read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    """Absolute names of what a module imports; ``from a import b`` gives both ``a`` and ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


def report(root: Path) -> str:
    """Every count as Markdown."""
    files, functions = long_files(root), long_functions(root)
    summary = {
        "lines of Python in src and workflow": sum(count_lines(root, path) for path, _ in parsed(root, *LIMITED)),
        "rules": count_rules(root),
        "import cycles": len(module_cycles(root)),
        f"functions over {MAX_FUNCTION_LINES} lines": len(functions),
        f"files over {MAX_FILE_LINES} lines": len(files),
    }
    names = {
        "src and workflow": vague_names(root, *LIMITED),
        "tests, tools and bench": vague_names(root, "tests", "tools", "bench"),
    }
    parts = [
        pd.Series(summary, name="count").to_markdown(),
        pd.DataFrame(names).to_markdown(),
        lines_by_folder(root).to_markdown(),
    ]
    parts += [f"- `{name}`: {count} lines" for name, count in (files | functions).items()]
    return "\n\n".join(parts[:3]) + "\n\n" + "\n".join(parts[3:])


if __name__ == "__main__":
    print(report(ROOT))
