"""Thousands of damaged configurations and receipts: each is right or refused in the project's own words, none ends otherwise.

Drawn by hypothesis, the same ones each time.
"""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from unsee.attacks import catalogue as attack_catalogue
from unsee.jobs import receipts
from unsee.jobs.config import ConfigError, resolve
from unsee.jobs.config_checks import check
from unsee.unlearning.catalogue import read

ROOT = Path(__file__).parents[2]
METHODS, ATTACKS = read(), attack_catalogue.read()
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
CONFIG["model"]["path"] = str(ROOT / CONFIG["model"]["path"])
SETTINGS = settings(
    max_examples=600,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # what is found is small enough to read, and shrinking it takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**70),
    st.floats(),
    st.sampled_from([10**400, -(10**4000), math.nan, math.inf, "", "\0", "\ud800", "a\nb", "{x}", "../..", "x" * 5000]),
    st.sampled_from(
        ["1e-4", "null", "ga", "npo", "synthetic", "mllmu", "clear", "mmunlearner", "llava", "smollm2", "*"]
    ),
    st.text(max_size=8),
    st.dates(),
    st.binary(max_size=4),
)
KEYS = st.one_of(
    st.sampled_from(
        ["name", "path", "method", "steps", "epochs", "lora", "beta", "weight", "seed", "ga", "npo_2", "only"]
    ),
    st.text(max_size=6),
    st.integers(),
    st.none(),
    st.floats(),
)
VALUES = st.recursive(
    SCALARS, lambda part: st.one_of(st.lists(part, max_size=3), st.dictionaries(KEYS, part, max_size=3)), max_leaves=6
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a configuration."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    for key, part in parts:
        yield (*at, key)
        yield from places(part, (*at, key))


# Resources are a quarter of all keys and all alike.
PLACES = [place for place in places(CONFIG) if place[0] != "resources" or place[1:2] == ("unlearn",)]
CHANGE = st.tuples(st.sampled_from(PLACES), st.sampled_from(["set", "add", "delete"]), KEYS, VALUES)


def apply(config: dict[str, Any], place: tuple[Any, ...], act: str, key: Any, value: Any) -> None:
    """Set or delete the value at a place, or put one beside it."""
    *above, last = place
    section: Any = config
    try:
        for part in above:
            section = section[part]
        if act == "set":
            section[last] = value
        elif act == "delete":
            del section[last]
        elif isinstance(section, dict):
            section[key] = value
        else:
            section.append(value)
    except (KeyError, IndexError, TypeError, AttributeError):
        pass  # an earlier change has taken the place away


@SETTINGS
@given(st.lists(CHANGE, min_size=1, max_size=4))
def test_a_damaged_configuration_is_refused_or_can_be_resolved(changes: list[tuple[Any, ...]]) -> None:
    config = copy.deepcopy(CONFIG)
    for change in changes:
        apply(config, *change)
    try:
        check(config, METHODS, ROOT, attacks=ATTACKS)
    except ConfigError as error:
        text = str(error)
        assert text and len(text.splitlines()) <= 60 and len(text) < 8000
    else:
        assert all(entry.method.name in METHODS for entry in resolve(config, METHODS).values())


@SETTINGS
@given(st.dictionaries(st.one_of(st.sampled_from(list(CONFIG)), KEYS), VALUES, max_size=20))
def test_anything_in_place_of_a_configuration_is_refused(config: dict[Any, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        check(config, METHODS, ROOT, attacks=ATTACKS)
    assert len(str(caught.value).splitlines()) <= 60


@settings(SETTINGS, max_examples=40)
@given(
    st.lists(CHANGE, max_size=2),
    st.one_of(st.just(""), st.sampled_from(["a: &a [*a]", "&a {b: *a}", "- x", "a: {b: 1, b: 2}", "? [1, 2]\n: 3"])),
)
def test_what_stands_in_a_file_is_said_of_the_file(tmp_path: Path, changes: list[tuple[Any, ...]], more: str) -> None:
    config = copy.deepcopy(CONFIG)
    for change in changes:
        apply(config, *change)
    base, over = tmp_path / "config.yaml", tmp_path / "over.yaml"
    base.write_text((ROOT / "config.yaml").read_text())
    over.write_text(more)
    try:
        check(config, METHODS, ROOT, [base, over], attacks=ATTACKS)
    except ConfigError as error:
        assert len(str(error).splitlines()) <= 60


def as_json(value: Any) -> str:
    """JSON, with what it has no word for as a text."""

    def plain(part: Any) -> Any:
        if isinstance(part, dict):
            return {str(key): plain(item) for key, item in part.items()}
        if isinstance(part, list):
            return [plain(item) for item in part]
        is_long = type(part) is int and part.bit_length() > 5000
        return part if part is None or isinstance(part, bool | int | float) and not is_long else str(part)[:200]

    return json.dumps(plain(value))


@SETTINGS
@given(
    st.lists(
        st.tuples(st.sampled_from(["job_hash", "inputs", "outputs", "bytes", "sha256", "name"]), VALUES), max_size=3
    ),
    st.integers(0, 2000),
    st.binary(max_size=3),
)
def test_a_damaged_receipt_is_never_taken_for_whole(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, Any]], at: int, junk: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "receipts"
    (folder / "results").mkdir(parents=True, exist_ok=True)
    before = os.getcwd()
    os.chdir(folder)
    try:
        _damage_and_check(changes, at, junk)
    finally:
        os.chdir(before)


def _damage_and_check(changes: list[tuple[str, Any]], at: int, junk: bytes) -> None:
    result, receipt = Path("results/b"), Path("results/b.json")
    result.write_text("made")
    original = {
        "rule": "b",
        "job_hash": "same",
        "inputs": {"base/x": "0"},
        "outputs": receipts.outputs([str(result)]),
    }
    made: dict[str, Any] = copy.deepcopy(original)
    for key, value in changes:
        if key in made:
            made[key] = value
        elif isinstance(made["outputs"], dict):
            for name, part in list(made["outputs"].items()):
                if key == "name":
                    made["outputs"] = {str(value)[:300]: part}
                elif isinstance(part, dict):
                    made["outputs"][name] = part | {key: value}
    data = as_json(made).encode()
    receipt.write_bytes(data[:at] + junk + data[at + len(junk) :] if junk and at < len(data) else data)
    try:
        parsed = json.loads(receipt.read_bytes())
    except (ValueError, RecursionError):
        parsed = None

    spoiled = receipts.damaged_outputs(receipt, [str(result)])
    assert spoiled in ([], [str(result)])
    assert spoiled == [] or parsed != original
    if not spoiled:
        digests = {path: output["sha256"] for path, output in parsed["outputs"].items()}
        assert digests == {str(result): original["outputs"][str(result)]["sha256"]}
    try:
        parts = receipts.check({str(receipt): "same"})
    except receipts.ReceiptError as error:
        assert parsed != original
        assert str(receipt) in str(error) or "delete it and run again" in str(error)
        assert len(str(error).splitlines()) <= 60
    else:
        assert parts[str(receipt)] == {str(result): original["outputs"][str(result)]["sha256"]}
        assert parsed["job_hash"] == "same"
