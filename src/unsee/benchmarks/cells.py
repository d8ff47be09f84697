"""Check the contents of a cell: every question, answer, option, caption and name, and JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from unsee.benchmarks.schema import BenchmarkError
from unsee.core.text import visible

#: The longest question, answer, option, caption or name, in characters. The longest published one has about a thousand.
MAX_CHARACTERS = 20_000
#: The longest JSON text of a cell, in characters, and how deep it may be nested. PublishedFolder ones: a few thousand, 3.
MAX_JSON_CHARACTERS = 1_000_000
MAX_JSON_DEPTH = 20

#: Control characters that are not white space.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")

#: Strings with a special meaning to tokenizers and chat templates: inside a question they would end it, start another turn or stand
#: for a picture. ``<|...|>`` covers ChatML, Qwen2-VL and Llama 3.
SPECIAL_TOKENS = re.compile(
    r"<[|｜][^<>\s]{1,40}[|｜]>"
    r"|</?(?:s|unk|pad|bos|eos|mask|image|video|audio|tool_call|start_of_turn|end_of_turn|start_of_image|fake_token_around_image)>"
    r"|\[/?INST\]|<</?SYS>>|\[IMG(?:_BREAK|_END)?\]"
    r"|\b(?:USER|ASSISTANT|SYSTEM):"
)


def show(value: object) -> str:
    """A value for an error message: its ``repr``, cut to one line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."


def clean(where: str, field: str, value: Any) -> str:
    """The text of a cell without white space around it.

    Args:
        where: file and row.
        field: the cell's column or key, for the error message.
        value: the cell's value.

    Raises:
        BenchmarkError: it is no text, has no visible character, is too long, or contains a control character, half of a surrogate
            pair (which UTF-8 cannot encode) or a special token.
    """
    if isinstance(value, str) and len(value) > MAX_CHARACTERS:
        raise BenchmarkError(f"{where}: {field} has {len(value)} characters, expected at most {MAX_CHARACTERS}")
    if not isinstance(value, str) or not visible(value).strip():
        raise BenchmarkError(f"{where}: {field} is {show(value)}, expected text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BenchmarkError(
            f"{where}: {field} has half of a surrogate pair at character {error.start} ({show(value[error.start])}), "
            "expected Unicode text"
        ) from error
    if control := _CONTROL.search(value):
        raise BenchmarkError(
            f"{where}: {field} has the control character U+{ord(control[0]):04X} at character {control.start()}; remove it"
        )
    if special := SPECIAL_TOKENS.search(value):
        raise BenchmarkError(
            f"{where}: {field} contains {special[0]!r}, which tokenizers or chat templates read as a command; remove it"
        )
    return value.strip()


def parse_json(where: str, field: str, value: Any) -> Any:
    """The content of a cell that holds JSON.

    Raises:
        BenchmarkError: it is no text or no JSON, repeats a key of an object, is too long or nested too deeply.
    """
    if not isinstance(value, str):
        raise BenchmarkError(f"{where}: {field} is not JSON (it is {show(value)})")
    if len(value) > MAX_JSON_CHARACTERS:
        raise BenchmarkError(f"{where}: {field} has {len(value)} characters, expected at most {MAX_JSON_CHARACTERS}")
    try:
        content = json.loads(value, object_pairs_hook=_unique)
        deep = _depth(content) > MAX_JSON_DEPTH
    except RecursionError:
        deep = True
    except ValueError as error:  # also an integer of more digits than Python reads
        raise BenchmarkError(f"{where}: {field} is not JSON ({str(error).split(';')[0]})") from error
    if deep:
        raise BenchmarkError(f"{where}: {field} is JSON nested more than {MAX_JSON_DEPTH} deep")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {show(key)} occurs twice")
    return content


def _depth(content: Any) -> int:
    """How deeply lists and objects are nested; counted level by level, because Python limits recursion."""
    depth, level = 0, [content]
    while level := [value for value in level if isinstance(value, dict | list)]:
        depth += 1
        level = [child for value in level for child in (value.values() if isinstance(value, dict) else value)]
    return depth
