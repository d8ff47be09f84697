"""What is wrong with an entry of ``attacks`` is said in one line, with what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import error_page
from unsee.attacks.catalogue import Description
from unsee.core.option import Option
from unsee.jobs.config import resolve_attacks
from unsee.jobs.config_attacks import attack_findings, attack_twin_findings
from unsee.jobs.config_files import path_text

SHARES = Option("Annotated[Sequence[float], '> 0, <= 1']", [0.5])
ATTACKS = {
    "noise": Description("noise", "weights", (), {"share": Option("Annotated[float, '> 0']", 0.1)}, Path("noise.py")),
    "toy": Description("toy", "picture", (), {"rate": Option("float"), "shares": SHARES}, Path("toy.py")),
    "plain": Description("plain", "question", (), {}, Path("plain.py")),
}


def said(entries: dict[str, Any]) -> list[str]:
    findings = attack_findings({"attacks": entries}, ATTACKS)
    return [f"config.yaml: {path_text(key)} {message}" for key, message in findings]


@pytest.mark.parametrize(
    ("name", "entries", "message"),
    [
        (
            "an unknown attack",
            {"noize": {}},
            "attacks.noize is no known attack; did you mean 'noise'? expected one of noise, toy, plain",
        ),
        (
            "an unknown attack of another name",
            {"more": {"attack": "noize"}},
            "attacks.more.attack is 'noize', and that is no known attack; did you mean 'noise'? "
            "expected one of noise, toy, plain",
        ),
        (
            "an unknown option of an attack",
            {"noise": {"shar": 1}},
            "attacks.noise.shar is no known option; did you mean 'share'? noise has the options share",
        ),
        (
            "an option of an attack that has none",
            {"plain": {"x": 1}},
            "attacks.plain.x is no known option; plain has no options",
        ),
        (
            "an option of an attack out of range",
            {"noise": {"share": 0}},
            "attacks.noise.share is 0; expected a number above 0",
        ),
        (
            "an empty list as an option of an attack",
            {"toy": {"rate": 1, "shares": []}},
            "attacks.toy.shares is []; expected a list of different numbers above 0 and at most 1, at least one",
        ),
        (
            "an option of an attack that must be set",
            {"toy": None},
            "attacks.toy.rate is missing; expected a number, toy has no default for it",
        ),
        (
            "a name that no attack's entry may have",
            {"More noise": {"attack": "noise"}},
            "attacks.'More noise' is no name for an attack's entry; expected small letters, digits and underscores",
        ),
    ],
)
def test_a_mistake_is_named_with_what_was_expected(name: str, entries: dict[str, Any], message: str) -> None:
    (line,) = said(entries)
    assert line == f"config.yaml: {message}"
    error_page.check(name, "planning", line)


def test_an_entry_is_laid_over_the_defaults_of_its_attack() -> None:
    entries = {"noise": None, "more": {"attack": "noise", "share": 0.5}, "plain": False, "toy": {"rate": 2}}
    assert said(entries) == []
    attacks = resolve_attacks({"attacks": entries}, ATTACKS)
    assert {name: entry.options for name, entry in attacks.items()} == {
        "noise": {"share": 0.1},
        "more": {"share": 0.5},
        "toy": {"rate": 2, "shares": [0.5]},
    }
    assert attacks["more"].attack is ATTACKS["noise"]
    assert not list(attack_twin_findings(attacks))


def test_two_entries_that_are_the_same_attack_are_refused() -> None:
    attacks = resolve_attacks({"attacks": {"noise": {}, "again": {"attack": "noise", "share": 0.1}}}, ATTACKS)
    (finding,) = attack_twin_findings(attacks)
    message = "is the same as attacks.noise (noise); expected another attack or other options"
    assert finding == (("attacks", "again"), message)
    error_page.check("the same attack under two names", "planning", f"config.yaml: attacks.again {message}")
