"""Which source files decide what a script does: itself, and what it imports of this library, however far down.

Their digests are parameters of the script's rule, so that a change runs again what it can have changed and nothing else: comments,
docstrings and layout change nothing. Files are read, never run.
"""

from __future__ import annotations

import ast
import hashlib
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
            left += _read(file, library, file.stat().st_mtime_ns)[0]
    return [script, *sorted(found - {script})]


def digests(script: Path, library: Path) -> list[str]:
    """``name digest`` of ``script`` and of each file that it imports; the same for the same code, wherever it lies.

    Args:
        script, library: as in :func:`imported`.
    """
    named = {file: file.relative_to(library.parent) for file in imported(script, library) if file != script}
    named[script] = Path(script.name)
    return [f"{name.as_posix()} {_read(file, library, file.stat().st_mtime_ns)[1]}" for file, name in named.items()]


@cache  # by time as well: each file is parsed once, however many jobs ask, and again when it has changed
def _read(file: Path, library: Path, changed: int) -> tuple[tuple[Path, ...], str]:
    """What a file imports, and the digest of its code."""
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    imports = tuple(_read_imports(tree, file, library))
    return imports, hashlib.sha256(ast.unparse(_without_docstrings(tree)).encode()).hexdigest()[:16]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            said = node.body and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
            node.body = [*(node.body[1:] if said else node.body), ast.Pass()]  # a body may have been nothing else
    return tree


def _read_imports(tree: ast.Module, file: Path, library: Path) -> Iterator[Path]:
    for node in ast.walk(tree):
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
