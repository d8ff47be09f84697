"""Find numbers in README.md and docs/*.md that nothing stands behind, and numbers that are no longer true.

    python -m tools.page_numbers

A number in prose or in a table is accepted where

- a script wrote it: it stands between marks (``<!-- ..., written by tools/front.py from here -->`` to ``<!-- to here -->``);
- it was measured on a day by a command: it stands between ``<!-- measured on 2026-11-24 by COMMAND -->`` and ``<!-- to here -->``;
- docs/numbers.yaml has a phrase of the page that contains it, and says what stands behind it: an expression, which is evaluated and must
  give the numbers of the phrase; ``{holds: FILE}``, a test or source file that contains the numbers; or ``{cites: SOURCE}``.

What this cannot see: numbers in code, in backticks and in quotations (commands, settings, examples, the words of a paper), 0 and 1, number
words but for those before a word that is counted ("six methods"), whether what was measured or cited still holds, and whether a sentence
is true around a true number.
docs/notes is a notebook and docs/reference is copied from a run: neither is read.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unsee.attacks import catalogue as attack_catalogue
from unsee.unlearning import catalogue

ROOT = Path(__file__).resolve().parents[1]
REGISTRY = ROOT / "docs" / "numbers.yaml"
WORDS = dict(
    zip(
        (
            *("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
            *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
        ),
        range(2, 21),
        strict=True,
    )
)
_COUNTED = "methods|attacks|protocols|ratios|seeds|trials|metrics|models|presets|families"
#: A number by itself: no part of a name, a version, a date or an identifier. Or a number word before something that is counted.
_NUMBER = re.compile(
    r"(?<![\w.#^/-])[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?(?![\w/]|-[A-Za-z0-9]|[.,]\d)"
    rf"|\b(?i:{'|'.join(WORDS)})\b(?= (?:\w+ )?(?:{_COUNTED})\b)"
)
_DATE = r"20\d\d-\d\d-\d\d"
_LEFT_OUT = (
    r"<!-- (?:[\w ]+, )?written by \S+ from here -->.*?<!-- to here -->",
    rf"<!-- measured on {_DATE} by [^>]+ -->.*?<!-- to here -->",
    r"<!-- ([\w -]+) -->.*?<!-- end of \1 -->",
    r"```.*?```",
    r"<!--.*?-->",
    r"`[^`\n]*`",
    r'"[^"\n]*"',  # quotations
    r"^\[\w+\]: .*?$",  # addresses of links
    r"\]\([^)\s]*\)",
    r"<[^>\n]*>",
    r"arXiv \d{4}\.\d{5}|poster \d+",
    r"(?:et al\.,?|[A-Z][A-Za-z-]+(?: and [A-Z][a-z]+)?,?) (?:19|20)\d\d\b",  # a paper and its year
    r"^#+ [^\n]*$|^ *\d+\. |^\*\*\d\.",  # headings and items of lists
)


@dataclass(frozen=True)
class Number:
    """A number on a page: its text, its line, and where it starts in the page."""

    text: str
    line: int
    start: int


def numbers(page: str) -> Iterator[Number]:
    """The numbers of a page that something must stand behind, see the module's text."""
    for match in _NUMBER.finditer(_prose(page)):
        if match.group() not in ("0", "1"):
            yield Number(match.group(), page.count("\n", 0, match.start()) + 1, match.start())


def _prose(page: str) -> str:
    """The page with all that is not read made blank, each character at its place."""
    for pattern in _LEFT_OUT:
        page = re.sub(pattern, lambda match: re.sub(r"[^\n]", " ", match.group()), page, flags=re.DOTALL | re.MULTILINE)
    return page


def values(phrase: str) -> list[float]:
    """The numbers of a phrase, in its order."""
    texts = [match.group() for match in _NUMBER.finditer(phrase)]
    return [WORDS[text.lower()] if text.lower() in WORDS else float(text.replace(",", "")) for text in texts]


def orphans(page: str, phrases: Mapping[str, Any]) -> list[Number]:
    """The numbers of a page that no phrase covers."""
    spans = [match.span() for phrase in phrases for match in re.finditer(re.escape(phrase), page)]
    return [number for number in numbers(page) if not any(start <= number.start < end for start, end in spans)]


def problem(page: str, phrase: str, behind: str | Mapping[str, str]) -> str | None:
    """What is wrong with a phrase of the registry, or None.

    Args:
        page: the text of its page.
        phrase: the phrase.
        behind: an expression over :data:`NAMES`, or ``holds`` or ``cites``.
    """
    if phrase not in page:
        return "the page does not have this phrase"
    if isinstance(behind, str):
        try:
            result = eval(behind, {"__builtins__": {}, **NAMES})  # noqa: S307  the registry is a file of this repository
        except (ArithmeticError, LookupError, NameError, OSError, TypeError, ValueError) as error:
            return f"{behind} cannot be evaluated: {type(error).__name__}: {error}"
        expected = list(result) if isinstance(result, tuple) else [result]
        if [_shown(value, phrase) for value in expected] != [_shown(value, phrase) for value in values(phrase)]:
            return f"{behind} is {', '.join(f'{value:g}' for value in expected)}"
        return None
    (kind, source), *more = behind.items()
    if more or kind not in ("holds", "cites") or not source:
        return f"is {dict(behind)!r}; expected an expression, holds: FILE or cites: SOURCE"
    if kind == "holds":
        there = set(
            re.findall(
                r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?",
                re.sub(r"(?<=\d)[_,](?=\d{3})", "", (ROOT / source).read_text(encoding="utf-8")),
            )
        )
        missing = [value for value in values(phrase) if abs(value) not in {float(text) for text in there}]
        return f"{source} does not have {', '.join(f'{value:g}' for value in missing)}" if missing else None
    return None


def _shown(value: float, phrase: str) -> float:
    """A value with as many decimals as the phrase shows at most; two digits of a small one."""
    decimals = max((len(text.partition(".")[2]) for text in re.findall(r"\d+\.\d+", phrase)), default=0)
    return round(value, decimals) if abs(value) >= 0.001 else float(f"{value:.1e}")


def _at(tree: Any, path: str) -> Any:
    for part in path.split("."):
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    return tree


def _yaml(name: str, path: str) -> Any:
    return _at(yaml.safe_load((ROOT / name).read_text(encoding="utf-8")), path)


def _constant(file: str, name: str) -> Any:
    """The value of a constant of a module: a literal, or arithmetic over numbers and other constants of the module."""
    constants: dict[str, ast.expr] = {}
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            constants |= {target.id: node.value for target in targets if isinstance(target, ast.Name)}
    needed = {part.id for part in ast.walk(constants[name]) if isinstance(part, ast.Name)}
    code = compile(ast.Expression(constants[name]), file, "eval")
    return eval(code, {"__builtins__": {}, **{other: _constant(file, other) for other in needed}})  # noqa: S307


#: What an expression of the registry may use.
NAMES: dict[str, Callable[..., Any] | Mapping[str, Any]] = {
    "config": lambda path: _yaml("config.yaml", path),
    "preset": lambda name, path: _yaml(f"presets/{name}.yaml", path),
    "constant": _constant,
    "option": lambda method, name: catalogue.read()[method].options[name].default,
    "attack_option": lambda attack, name: attack_catalogue.read()[attack].options[name].default,
    "methods": catalogue.read(),
    "attacks": attack_catalogue.read(),
    "lines": lambda file: len((ROOT / file).read_text(encoding="utf-8").splitlines()),
    "len": len,
    "max": max,
    "min": min,
    "sum": sum,
    "round": round,
}


def pages() -> dict[str, str]:
    """The pages that are read, by path: README.md and docs/*.md, but for those that a test or a tool writes whole."""
    generated = registry().get("generated", {})
    paths = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
    names = [path.relative_to(ROOT).as_posix() for path in paths]
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in names if name not in generated}


def registry() -> dict[str, dict[str, Any]]:
    """docs/numbers.yaml: by page, what stands behind each phrase; ``everywhere`` holds for all pages."""
    return dict(yaml.safe_load(REGISTRY.read_text(encoding="utf-8")))


def main() -> int:
    entries, wrong = registry(), 0
    for name, page in pages().items():
        phrases = entries.get("everywhere", {}) | entries.get(name, {})
        lines = page.splitlines()
        for number in orphans(page, phrases):
            wrong += 1
            print(f"{name}:{number.line}: {number.text} has nothing behind it: {lines[number.line - 1].strip()}")
        for phrase, behind in entries.get(name, {}).items():
            if text := problem(page, phrase, behind):
                wrong += 1
                print(f"{name}: {phrase!r}: {text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
