"""Digests of the source files that a script depends on: the script, and the modules of this library that it imports, recursively.

The digests are parameters of the script's rule, so that a change of code reruns the jobs that depend on it and no others. Comments,
docstrings, layout, a method's label, looks and paper, the words about a setting, the library's version, and what is imported for types
only do not count. Files are parsed, never imported.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

#: Keywords of a decorator that describe what it decorates and decide no result, see :mod:`unsee.unlearning.method`.
DESCRIPTIVE = ("label", "colour", "marker", "paper")
#: The function that declares a setting, see :mod:`unsee.core.option`. Only its first argument, the default, decides a result.
DECLARES_A_SETTING = "key"
#: The library's version, which receipts record. What a new version computes differently is in the digests of its other code.
VERSION = "__version__"


def imported(script: Path, library: Path) -> list[Path]:
    """``script`` and the files of the package ``library`` that it imports, directly or indirectly; the latter are sorted.

    Args:
        script: a Python file, in the package or not.
        library: the package's folder, which has the package's name.

    Raises:
        ValueError: it imports a module that the package does not have.
    """
    files: set[Path] = set()
    queue = [script]
    while queue:
        file = queue.pop()
        if file not in files:
            files.add(file)
            queue += _read(file, library, file.stat().st_mtime_ns)[0]
    return [script, *sorted(files - {script})]


def digests(script: Path, library: Path) -> list[str]:
    """``name digest`` of ``script`` and of each file that it imports; the same for the same code in any folder.

    Args:
        script, library: as in :func:`imported`.
    """
    named = {file: file.relative_to(library.parent) for file in imported(script, library) if file != script}
    named[script] = Path(script.name)
    return [f"{name.as_posix()} {_read(file, library, file.stat().st_mtime_ns)[1]}" for file, name in named.items()]


@cache  # the time is part of the key: a file is parsed once, and again when it has changed
def _read(file: Path, library: Path, changed: int) -> tuple[tuple[Path, ...], str]:
    """The files that a file imports, and the digest of its code."""
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    imports = tuple(_read_imports(tree, file, library))
    return imports, hashlib.sha256(ast.unparse(_without_descriptions(tree)).encode()).hexdigest()[:16]


def _without_descriptions(tree: ast.Module) -> ast.Module:
    """The code without docstrings and what only people read: keywords of decorators, words about settings."""
    for node in _statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            documented = (
                node.body and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
            )
            node.body = [*(node.body[1:] if documented else node.body), ast.Pass()]  # the body may become empty
        for decorator in getattr(node, "decorator_list", []):
            if isinstance(decorator, ast.Call):
                decorator.keywords = [keyword for keyword in decorator.keywords if keyword.arg not in DESCRIPTIVE]
        call = node.value if isinstance(node, ast.AnnAssign) else None
        if isinstance(call, ast.Call) and ast.unparse(call.func) == DECLARES_A_SETTING:
            call.args, call.keywords = call.args[:1], []
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == VERSION:
            node.value = ast.Constant("")
    return tree


def _read_imports(tree: ast.Module, file: Path, library: Path) -> Iterator[Path]:
    for node in _statements(tree, run=True):
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


def _statements(node: ast.AST, *, run: bool = False) -> Iterator[ast.AST]:
    """A node and every statement below it, at any depth; expressions, which hold no statement, are passed over.

    Args:
        node: where to start.
        run: leave out what stands below ``if TYPE_CHECKING:``, which never runs.
    """
    yield node
    for_types = run and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    for name in ("body", "handlers", "orelse", "finalbody", "cases"):
        for child in getattr(node, name, ()) if not (for_types and name == "body") else ():
            yield from _statements(child, run=run)


def _exists(module: Path) -> bool:
    return module.is_dir() or module.with_suffix(".py").is_file()


def _files(root: Path, module: list[str]) -> list[Path]:
    """The file of a module or package, and the ``__init__.py`` of the packages that contain it, unless they are empty."""
    packages = [root.joinpath(*module[:i], "__init__.py") for i in range(1, len(module) + 1)]
    files = [root.joinpath(*module).with_suffix(".py"), *packages]
    return [file for file in files if file.is_file() and file.stat().st_size]
