"""Which source files decide what a script does: itself, and what it imports of this library, however far down.

They are inputs of the script's rule, so that a change runs again what it can have changed and nothing else. Files are
read, never run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
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
            left += _imports(file, library)
    return [script, *sorted(found - {script})]


def _imports(file: Path, library: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = list(file.relative_to(library.parent).parts[: -node.level]) if node.level else []
            module = package + (node.module.split(".") if node.module else [])
            # A name may be a module of the package that it is imported from.
            modules = [module] + [[*module, alias.name] for alias in node.names]
        else:
            continue
        if modules[0][0] == library.name and not _files(library.parent, modules[0]):
            raise ValueError(f"{file}, line {node.lineno}: imports {'.'.join(modules[0])}, which is not there")
        for parts in modules:
            if parts[0] == library.name:
                yield from _files(library.parent, parts)


def _files(root: Path, module: list[str]) -> list[Path]:
    """The file of a module or package and those of the packages it is in, but empty ones; none if it is neither."""
    place = root.joinpath(*module)
    if not place.with_suffix(".py").is_file() and not place.is_dir():
        return []
    packages = [root.joinpath(*module[:i], "__init__.py") for i in range(1, len(module) + 1)]
    files = [place.with_suffix(".py"), *packages]
    return [file for file in files if file.is_file() and file.stat().st_size]
