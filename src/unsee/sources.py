"""Which source files decide what a script does: itself, and what it imports of this library, however far down.

They are inputs of the script's rule, so that a change runs again what it can have changed and nothing else. Files are
read, never run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path


def imported(script: Path, library: Path) -> list[Path]:
    """``script`` and the files of the package ``library`` that it imports, directly or not, sorted behind it.

    Args:
        script: a Python file, in the package or not.
        library: the package's folder; its name is the package's.

    Raises:
        ValueError: an import of a module that the package does not have.
    """
    found: set[Path] = set()
    left = [script]
    while left:
        file = left.pop()
        if file not in found:
            found.add(file)
            left += _imports(file, library, file.stat().st_mtime_ns)
    return [script, *sorted(found - {script})]


@cache  # by time as well: each file is parsed once, however many jobs ask, and again when it has changed
def _imports(file: Path, library: Path, changed: int) -> tuple[Path, ...]:
    return tuple(_read_imports(file, library))


def _read_imports(file: Path, library: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = list(file.relative_to(library.parent).parts[: -node.level]) if node.level else []
            first = package + (node.module.split(".") if node.module else [])
            # A name may be a module of the package that it is imported from.
            modules = [first] + [[*first, alias.name] for alias in node.names]
        else:
            continue
        for i, module in enumerate(modules):
            if module[0] != library.name:
                continue
            if _exists(library.parent.joinpath(*module)):
                yield from _files(library.parent, module)
            elif i == 0:
                raise ValueError(f"{file}, line {node.lineno}: imports {'.'.join(module)}, which is not there")


def _exists(module: Path) -> bool:
    return module.is_dir() or module.with_suffix(".py").is_file()


def _files(root: Path, module: list[str]) -> list[Path]:
    """The file of a module or package, and those of the packages it is in; empty ones decide nothing."""
    packages = [root.joinpath(*module[:i], "__init__.py") for i in range(1, len(module) + 1)]
    files = [root.joinpath(*module).with_suffix(".py"), *packages]
    return [file for file in files if file.is_file() and file.stat().st_size]
