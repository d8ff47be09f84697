"""The templates that make questions of the columns of a user's folder; ``data/templates.yaml`` says what they are.

The folder's ``templates.yaml`` is laid over the package's, key by key.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from unsee.benchmarks.cells import SPECIAL_TOKENS, show
from unsee.benchmarks.schema import BenchmarkError

FILE = "templates.yaml"
DEFAULTS = Path(str(files("unsee").joinpath("data", FILE)))
#: The entry of the naming question, and that of columns without an entry.
NAMING, OTHER = "name", "other"
ORIGINS = ("profile", "test")
#: The keys of an entry, and those of its parts.
KEYS = ("train", *ORIGINS, "cloze", "sentence")
PARTS = {"cloze": ORIGINS, "sentence": ("answer", "train", *ORIGINS)}
#: Placeholders that are no columns.
WORDS = ("who", "name", "value", "attribute")
#: What stands for a person whose picture is shown.
WITH_PICTURE = "this person"


@dataclass(frozen=True)
class Entry:
    """The templates of one column.

    Attributes:
        column: the column.
        train: wordings of the training question.
        questions: the question with options, by origin.
        cloze: the sentence with a gap, by origin; empty for none.
        sentence: the question that a sentence answers, by origin; empty for none.
        sentence_train: wordings of its training question.
        answer: that sentence.
    """

    column: str
    train: Sequence[str]
    questions: Mapping[str, str]
    cloze: Mapping[str, str] = field(default_factory=dict)
    sentence: Mapping[str, str] = field(default_factory=dict)
    sentence_train: Sequence[str] = ()
    answer: str = ""


def unused_columns(folder: Path) -> set[str]:
    """The columns that the folder's templates leave out.

    Raises:
        BenchmarkError: the file cannot be read.
    """
    return {column for column, entry in _read(folder / FILE).items() if entry is False}


def read_templates(folder: Path, columns: Sequence[str], others: Collection[str] = ()) -> tuple[Entry, list[Entry]]:
    """Read and check the templates of a folder.

    Args:
        folder: the user's folder.
        columns: the attributes of one table.
        others: the attributes of the folder's other table, which templates may be about too.

    Returns:
        The entry of the naming question, and the entries of the columns in their order.

    Raises:
        BenchmarkError: the file cannot be read, or a template is wrong; one line for each problem.
    """
    default = _read(DEFAULTS)
    user = _read(folder / FILE)
    if problems := list(_problems(folder / FILE, user, {*columns, *others})):
        raise BenchmarkError("\n".join(problems))
    fallback = {**default[OTHER], **(user.get(OTHER) or {})}
    entries = {}
    for column in columns:
        entry = dict(default.get(column) or {})
        if entry.get("sentence") and not set(_placeholders(entry["sentence"]["answer"])) <= {*WORDS, *columns}:
            del entry["sentence"]
        entries[column] = {**fallback, **entry, **(user.get(column) or {})}
    for part in PARTS:
        if not any(entry[part] for entry in entries.values()):
            for column, entry in entries.items():
                entry[part] = (user.get(column) or {}).get(part, fallback[part])
        if not any(entry[part] for entry in entries.values()):
            raise BenchmarkError(f"{folder / FILE}: no column has a {part}; expected one, because a task asks for it")
    naming = {**default[NAMING], **(user.get(NAMING) or {})}
    return _entry(NAMING, naming), [_entry(column, entry) for column, entry in entries.items()]


def fill(template: str, who: str, column: str, name: str, values: Mapping[str, str]) -> str:
    """A template with its placeholders replaced, and a capital letter in front.

    Args:
        template: a checked template.
        who: what stands for the person.
        column: the column that it is about.
        name: the person's name.
        values: the person's attributes by column.
    """
    words = {"who": who, "name": name, "attribute": column.replace("_", " "), "value": values.get(column, name)}
    text = template.format_map({key: _Word(value) for key, value in {**values, **words}.items()})
    return text[0].upper() + text[1:]


class _Word(str):
    """A text that ``{word:a}`` puts an article before."""

    def __format__(self, spec: str) -> str:
        return f"{'an' if self[0] in 'AEIOUaeiou' else 'a'} {self}" if spec == "a" else str(self)


def _read(file: Path) -> dict[str, Any]:
    """The entries of a file; none if there is no such file."""
    if not file.is_file():
        return {}
    try:
        content = yaml.safe_load(file.read_bytes().decode("utf-8-sig"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BenchmarkError(
            f"{file}: cannot be read ({reason}); expected entries of YAML by column, in UTF-8"
        ) from error
    if content is not None and not isinstance(content, dict):
        raise BenchmarkError(
            f"{file}: is {show(content)}; expected entries by column, such as 'hobby: {{profile: ...}}'"
        )
    return {str(column): entry for column, entry in (content or {}).items()}


def _problems(file: Path, user: Mapping[str, Any], columns: Collection[str]) -> Iterator[str]:
    """What is wrong with the entries of a user."""
    for column, entry in user.items():
        at = f"{file}: {column}"
        if entry is False and column not in (NAMING, OTHER):
            continue  # not among the columns that are left
        if column not in {*columns, NAMING, OTHER}:
            yield f"{at} is no column of people.csv{_guess(column, columns)}; expected one of {', '.join(sorted(columns))}"
        elif not isinstance(entry, dict) or not entry:
            yield f"{at} is {show(entry)}; expected an entry such as {{profile: 'Where does {{who}} live?'}}, or false"
        else:
            for key, value in entry.items():
                yield from _key_problems(f"{at}.{key}", column, str(key), value, columns)


def _key_problems(at: str, column: str, key: str, value: Any, columns: Collection[str]) -> Iterator[str]:
    """What is wrong with one key of an entry."""
    keys = KEYS[:3] if column == NAMING else KEYS
    if key not in keys:
        yield f"{at} is no key of an entry{_guess(key, keys)}; expected {', '.join(keys)}"
    elif key in PARTS:
        if value is None:
            return
        if not isinstance(value, dict) or set(value) != set(PARTS[key]):
            yield f"{at} is {show(value)}; expected the keys {', '.join(PARTS[key])}, or null"
            return
        for name, text in value.items():
            yield from _text_problems(f"{at}.{name}", column, key, name, text, columns)
    else:
        yield from _text_problems(at, column, "", key, value, columns)


def _text_problems(at: str, column: str, part: str, key: str, value: Any, columns: Collection[str]) -> Iterator[str]:
    """What is wrong with a template, or with a list of wordings."""
    if key == "train":
        if not isinstance(value, list) or not value:
            yield f"{at} is {show(value)}; expected a list of wordings, at least one"
            return
        for i, text in enumerate(value):
            yield from _text_problems(f"{at}[{i}]", column, part, "wording", text, columns)
        return
    if not isinstance(value, str) or not value.strip():
        yield f"{at} is {show(value)}; expected a text"
        return
    try:
        names = _placeholders(value)
    except ValueError as error:
        yield f"{at}: {error}"
        return
    allowed = {"name"} if column == NAMING else {*WORDS, *columns}
    for name in sorted(set(names) - allowed):
        yield f"{at} has the placeholder {{{name}}}{_guess(name, allowed)}; expected one of {', '.join(sorted(allowed))}"
    if special := SPECIAL_TOKENS.search(value):
        yield f"{at} contains {special[0]!r}, which tokenizers or chat templates read as a command; remove it"
    if column != NAMING and key != "answer" and "who" not in names:
        yield f"{at} has no {{who}}; without a picture nothing else says whom it is about"
    if part == "cloze" and value.count("__") != 1:
        yield f"{at} has {value.count('__')} gaps __; expected one, where the value stands"


def _placeholders(template: str) -> list[str]:
    """The names of a template's placeholders.

    Raises:
        ValueError: a brace is open, or a placeholder has something behind its name that is not ``:a``.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(
            f"is {show(template)}, whose braces do not match ({error}); expected placeholders such as {{who}}"
        ) from None
    for _, name, spec, conversion in parts:
        if name is not None and (conversion or spec not in ("", "a")):
            raise ValueError(f"has the placeholder {{{name}...}}; expected {{{name}}}, or {{{name}:a}} for an article")
    return [name for _, name, _, _ in parts if name is not None]


def _guess(name: str, names: Collection[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _entry(column: str, entry: Mapping[str, Any]) -> Entry:
    sentence = entry.get("sentence") or {}
    return Entry(
        column,
        entry["train"],
        {origin: entry[origin] for origin in ORIGINS},
        entry.get("cloze") or {},
        {origin: sentence[origin] for origin in ORIGINS if sentence},
        sentence.get("train", ()),
        sentence.get("answer", ""),
    )
