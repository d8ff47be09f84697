"""A named request: the people to forget, by id, in place of ratios (``benchmark.forget``).

Result paths and tables name a ratio in percent. A request stands there as the nearest whole percent, at least 1 and at most 99: as the
only ratio of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unsee.benchmarks import published
from unsee.jobs.config import Key, content_of, layer_of
from unsee.jobs.config_files import shown, unknown
from unsee.memory import LENGTHS

_FORGET, _PERCENTS = ("benchmark", "forget"), ("benchmark", "forget_percents")
#: Other choices of ratios; a request is the only one.
_SECTIONS = ("robustness", "membership")


class RequestError(ValueError):
    """A request names nobody, or people who do not exist; the message has the line of the file."""


def apply(config: dict[str, Any], root: Path, files: Sequence[Path]) -> None:
    """Put a request's ids and ratio into the configuration, in place.

    What is wrong stays as it is; :func:`findings` reports it.

    Args:
        config: all files merged, of any content.
        root: the project's folder, where a relative path starts.
        files: the files that were merged.
    """
    benchmark = config.get("benchmark")
    try:
        if not isinstance(benchmark, dict) or benchmark.get("forget") is None or any(findings(config, root, files)):
            return
        ids = read(benchmark, root)
    except (KeyError, TypeError, AttributeError, ValueError, OSError):
        return  # the checks of single keys report it
    percent = ratio_of(len(ids), _number_of_people(benchmark, root))
    benchmark["forget"], benchmark["forget_percents"] = ids, [percent]
    for name in _SECTIONS:
        if not _is_set((name, "forget_percents"), config, files):
            config[name]["forget_percents"] = [percent]


def ratio_of(n: int, people: int) -> int:
    """The percent that stands for ``n`` of so many people."""
    return min(max(round(100 * n / people), 1), 99)


def note(benchmark: Mapping[str, Any], root: Path) -> str:
    """What a request's ratio means, for the tables; empty without a request.

    Args:
        benchmark: the section, after :func:`apply`.
        root: the project's folder.
    """
    if benchmark["forget"] is None:
        return ""
    n, people = len(benchmark["forget"]), _number_of_people(benchmark, root)
    names = f"{n} people of {people} are" if n > 1 else f"One person of {people} is"
    return f"{names} named in `benchmark.forget`, shown as {benchmark['forget_percents'][0]} %."


def read(benchmark: Mapping[str, Any], root: Path) -> list[str]:
    """The ids of a request, sorted.

    Raises:
        RequestError: the file cannot be read, is empty or repeats an id.
    """
    if not isinstance(benchmark["forget"], str):
        return sorted(benchmark["forget"])
    return sorted(_read_file(root / benchmark["forget"]))


def findings(config: Mapping[str, Any], root: Path, files: Sequence[Path]) -> Iterator[tuple[Key, str]]:
    """Check a request: people who exist, of whom some remain, and no ratios besides.

    Args:
        config, root, files: as for :func:`apply`; the single keys are right.
    """
    benchmark = config["benchmark"]
    if benchmark["forget"] is None:
        return
    try:
        ids = read(benchmark, root)
        people = _people(benchmark, root)
    except ValueError as error:
        yield _FORGET, f"is {shown(benchmark['forget'])}: {error}"
        return
    if people is not None:
        for person in sorted(set(ids) - set(people)):
            i = benchmark["forget"].index(person) if not isinstance(benchmark["forget"], str) else None
            key = _FORGET if i is None else (*_FORGET, i)
            yield key, f"names {shown(person)}, and that {unknown('id of a person', person, people, _expected(people))}"
            return
        if len(ids) >= len(people):
            yield _FORGET, f"names all {len(people)} people; expected at least one to retain"
            return
    percents = [ratio_of(len(ids), _number_of_people(benchmark, root))]
    if benchmark["forget_percents"] != percents and _is_set(_PERCENTS, config, files):
        yield (
            _PERCENTS,
            f"is {shown(benchmark['forget_percents'])}, and benchmark.forget names people; expected one of the two keys",
        )


def _expected(people: Sequence[str]) -> str:
    return f"expected one of the {len(people)} people, such as {shown(people[0])}"


def _is_set(key: tuple[str, str], config: Mapping[str, Any], files: Sequence[Path]) -> bool:
    """Whether ratios are set where the request is, or above; what stands in the project's own config.yaml is a default."""
    contents = [content_of(file) for file in files]
    at = layer_of(key, config, contents)
    return at > 0 and at >= layer_of(_FORGET, config, contents)


def _people(benchmark: Mapping[str, Any], root: Path) -> list[str] | None:
    """The ids of all people; None for a benchmark that is fetched first."""
    if benchmark["name"] == "synthetic":
        return published.numbered(0, benchmark["people"])
    return published.person_ids(benchmark["name"], root / benchmark["path"]) if benchmark["path"] else None


def _number_of_people(benchmark: Mapping[str, Any], root: Path) -> int:
    people = _people(benchmark, root)
    return LENGTHS[benchmark["name"]].people if people is None else len(people)


def _read_file(file: Path) -> list[str]:
    """The ids of a file, one a line; empty lines and a first line ``id`` are left out."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"cannot be read ({error}); expected a text file in UTF-8 with one id a line") from None
    ids: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        text = " ".join(line.strip().strip('"').split())
        if not text or (number == 1 and text.casefold() == "id"):
            continue
        if text in ids:
            raise RequestError(f"line {number}: {text!r} is also in line {ids[text]}; expected it once")
        ids[text] = number
    if not ids:
        raise RequestError("has no ids; expected one a line")
    return list(ids)
