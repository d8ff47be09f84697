"""The files of a configuration: mistakes that YAML accepts, and where a key stands."""

from __future__ import annotations

import difflib
import math
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from unsee.jobs.config import Key, content_of

#: No number of a configuration is larger, of either sign: generators of random numbers take seeds of 32 bits.
LARGEST = 2**32 - 1
#: Linux takes no longer path; a longer text with a slash is none, and is cut in messages.
LONGEST_PATH = 4096
#: The most values that a file may have when its aliases are written out; a file that contains itself has endlessly many.
MOST_VALUES = 100_000
#: The file that is named when no file has a key.
DEFAULTS = "config.yaml"


def alias_findings(files: Iterable[Path]) -> Iterator[str]:
    """Check that no value contains itself or grows without end: with aliases, a few lines of YAML may have 10**9 values."""

    def count(node: yaml.Node, counts: dict[int, float]) -> float:
        if id(node) not in counts:
            counts[id(node)] = math.inf  # stays so for a node that contains itself
            parts = node.value if isinstance(node, yaml.SequenceNode | yaml.MappingNode) else []
            nodes = [part[1] if isinstance(part, tuple) else part for part in parts]
            counts[id(node)] = 1 + sum(count(part, counts) for part in nodes)
        return counts[id(node)]

    for file in files:
        try:
            node = yaml.compose(file.read_text(encoding="utf-8"))
            values = count(node, {}) if node is not None else 0
        except RecursionError:
            values = math.inf
        except (OSError, ValueError, yaml.YAMLError):
            continue  # file_findings reports it
        if values > MOST_VALUES:
            size = "contains itself (by an alias, *name)" if values == math.inf else f"has {values:.0f} values"
            yield f"{file.name}: {size}; expected at most {MOST_VALUES} values with all aliases written out"


def file_findings(files: Iterable[Path]) -> Iterator[str]:
    """Check that each file is readable YAML with sections; Snakemake's own loader accepts more."""
    for file in files:
        try:
            content = content_of(file)
        except (OSError, ValueError, yaml.YAMLError) as error:
            yield f"{file.name}: cannot be read ({' '.join(str(error).split())}); expected sections of YAML, as config.yaml"
        else:
            if not isinstance(content, Mapping):
                yield f"{file.name}: is {shown(content)}; expected sections of YAML, as config.yaml"


def shape_findings(config: Mapping[str, Any]) -> Iterator[str]:
    """Check that no section is nested endlessly, which --config can set too."""

    def deep(value: Any, depth: int) -> bool:
        parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else []
        return depth > 20 or any(deep(part, depth + 1) for part in parts)

    for key, value in config.items():
        if deep(value, 0):
            yield f"{path_text((key,))} has lists or sections 20 deep; expected what config.yaml shows"


def repeated_keys(files: Iterable[Path]) -> Iterator[tuple[Key, str]]:
    """Check that no key is written twice: YAML silently keeps the last value."""
    visited: set[int] = set()

    def walk(node: yaml.Node, path: Key) -> Iterator[tuple[Key, str]]:
        if id(node) in visited:  # an alias
            return
        visited.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                yield from walk(item, (*path, i))
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in seen:
                    lines = f"lines {seen[name]} and {line}"
                    yield (*path, name), f"is there twice ({lines}); expected once"
                seen[name] = line
                yield from walk(value, (*path, name))

    for file in files:
        node = yaml.compose(file.read_text(encoding="utf-8"))
        if node is not None:
            yield from walk(node, ())


def unknown(kind: str, name: object, names: Sequence[str], expected: str = "") -> str:
    """The message about a name that does not exist, with the most similar one that does.

    Args:
        kind: what it is a name of.
        name: as the configuration has it.
        names: the names that exist.
        expected: the end of the message; by default all names.
    """
    close = difflib.get_close_matches(str(name), names, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"is no known {kind}; {guess}{expected or 'expected one of ' + ', '.join(names)}"


def shown(value: Any) -> str:
    """A value as a message shows it: short, and as YAML writes it; a path is whole, so that it can be copied."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a section"
    if type(value) is int and abs(value) > LARGEST**2:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, str) and "/" in value and len(value) <= LONGEST_PATH:
        return repr(value)
    text = reprlib.repr(value) if isinstance(value, list | tuple) else repr(value)
    return text if len(text) < 80 else f"{text[:76]} ..."


def hint(value: Any) -> str:
    """How to write a number that YAML reads as a text; empty for other values."""
    match = isinstance(value, str) and re.fullmatch(r"([+-]?\d+)(\.\d*)?[eE]([+-]?)(\d+)", value)
    if match:
        whole, fraction, sign, exponent = match.groups()
        # A number of YAML 1.1 has a point, and a sign in the exponent.
        return f" (YAML takes {value} for a text; write {whole}{fraction or '.0'}e{sign or '+'}{exponent})"
    return ""


def place(key: Key, config: Mapping[str, Any], contents: Sequence[tuple[Any, Path]]) -> str:
    """The file that sets a key, or the file of the section that lacks it, and the key: ``file: key.key[index]``.

    Args:
        key: a key of the configuration, or one that is missing there.
        config: all files merged, under what the command line sets.
        contents: the content and the path of each file, the one on top first.
    """
    path = path_text(key)
    value, depth = look_up(config, key)
    depths = [(look_up(content, key), file) for content, file in contents]
    complete = [(other, file) for (other, depth_there), file in depths if depth_there == len(key)]
    same = [file for other, file in complete if other == value or isinstance(other, dict) or _both_nan(other, value)]
    if depth == len(key) and contents and not same:
        return f"--config: {path}"
    deepest = max((depth_there for (_, depth_there), _ in depths), default=0)
    holding = [file for (_, depth_there), file in depths if depth_there == deepest]
    return f"{next(iter(same or holding), Path(DEFAULTS)).name}: {path}"


def _both_nan(first: Any, second: Any) -> bool:
    """Whether both are NaN, which is equal to nothing."""
    return isinstance(first, float) and isinstance(second, float) and math.isnan(first) and math.isnan(second)


def path_text(key: Key) -> str:
    """A key as a message shows it: ``section.key[0]``."""
    path = ""
    for part in key:
        name = str(part) if re.fullmatch(r"[\w.-]{1,60}", str(part)) else shown(part)
        path += f"[{part}]" if isinstance(part, int) else f".{name}" if path else name
    return path


def look_up(content: Any, key: Key) -> tuple[Any, int]:
    """The value at a key and the key's length; where the key is missing, the innermost section of it that exists and its depth."""
    for i, part in enumerate(key):
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return content, i
    return content, len(key)
