"""Every number of the configuration has bounds: what has no sense is refused when the workflow is planned."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import error_page
from unsee.jobs import config_schema
from unsee.jobs.config import ConfigError
from unsee.jobs.config_checks import check
from unsee.unlearning.catalogue import read

ROOT = Path(__file__).parents[2]
METHODS = read()
Key = tuple[str | int, ...]

#: What no number may be, and what some may: key (its last two parts) and value, and why.
VALUES = (-1, 0, 1, math.nan, math.inf, 1e30, 10**30, "1", "high", True)
ZERO_IS_NONE = "none of it"
RETAIN_WEIGHTS = ("dpo", "idk", "npo", "rmu", "satimp", "simnpo", "undial", "wga")
ACCEPTED = {
    ("benchmark.seed", 0): "a seed",
    ("pretraining.seed", 0): "a seed",
    ("evaluation.seed", 0): "a seed",
    ("tuning.seed", 0): "a seed",
    ("seeds.0", 0): "a seed",
    ("evaluation.shots", 0): ZERO_IS_NONE,
    ("benchmark.held_out", 0): ZERO_IS_NONE,
    ("variants", 0): ZERO_IS_NONE,
    ("weight_decay", 0): ZERO_IS_NONE,
    ("warmup", 0): ZERO_IS_NONE,
    ("warmup", 1): "the rate rises to the end",
    ("max_grad_norm", 0): "clips nothing, as the official code",
    ("lora.dropout", 0): ZERO_IS_NONE,
    ("anchor.forget", 0): "a ROUGE-L",
    ("anchor.retain", 0): "a ROUGE-L",
    ("anchor.tolerance", 0): "to the last digit",
    ("checkpoint.minutes", 0): "after every step",
    ("resources.unlearn.gpu", 0): "on the CPU",
    ("vl_eraser.weight", 0): "cross-entropy alone",
    ("vl_eraser.tolerance", 0): "exact zeros alone",
    **{(f"{name}.alpha", 0): "without retained pairs" for name in RETAIN_WEIGHTS},
    ("ce_u.skipped", 0): ZERO_IS_NONE,
    ("satimp.beta1", 0): "every token weighs the same",
    ("satimp.beta2", 0): "every token weighs the same",
    ("wga.beta", 0): "every token weighs the same",
    ("simnpo.delta", 0): "no margin",
    ("kvw.skip_first", 0): ZERO_IS_NONE,
    ("kvw.skip_last", 0): ZERO_IS_NONE,
    ("manu.threshold", 0): "every activation counts",
}
#: Numbers that may not be 1, which is sensible for all others.
NOT_ONE = (
    "benchmark.people",
    "benchmark.held_out",
    "trade_off.scales.0",
    "trade_off.others",
    "membership.strangers",
    "manu.share",
    "lora.dropout",
    "vl_eraser.tolerance",
    "mem_mb",
)


def numeric_keys(schema: Mapping[str, Any], at: Key = ()) -> Iterator[Key]:
    """Every key of the schema that takes a number, lists by their first place."""
    kinds = schema.get("type", [])
    if {"integer", "number"} & ({kinds} if isinstance(kinds, str) else set(kinds)):
        yield at
    for name, part in schema.get("properties", {}).items():
        yield from numeric_keys(part, (*at, name))
    if "items" in schema:
        yield from numeric_keys(schema["items"], (*at, 0))


KEYS = [
    *numeric_keys(config_schema.sections()),
    *numeric_keys(config_schema.job(), ("resources", "unlearn")),
] + [
    ("methods", name, option)
    for name, method in METHODS.items()
    for option, declared in method.options.items()
    if "float" in declared.annotation or "int" in declared.annotation.split("[")[-1]
]


def changed(config: dict[str, Any], key: Key, value: Any) -> dict[str, Any]:
    """A copy with another value, and what it must not contradict."""
    config = copy.deepcopy(config)
    *above, last = key
    section: Any = config
    for part in above:
        section = section[part]
    if isinstance(section, list):
        # One value, but where there must be several.
        section[:] = [value, *section[1:]] if "learning_rates" in above else [value]
    else:
        section[last] = value
    if last == "gpu":
        section["mem_mb"] = 100_000  # what torch takes on a GPU
    if last in ("epochs", "steps") and key[0] in ("finetune", "unlearning"):
        section["steps" if last == "epochs" else "epochs"] = None
    return config


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """The project's configuration, with every method's section, and resources of unlearn beside the default."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["methods"] = {name: config["methods"].get(name) or {} for name in METHODS}
    config["resources"].setdefault("unlearn", {})
    return config


def message(config: dict[str, Any]) -> str:
    """What the check says; nothing where it passes."""
    try:
        check(config, METHODS, ROOT)
    except ConfigError as error:
        return str(error)
    return ""


def test_the_keys_are_found() -> None:
    names = {".".join(map(str, key)) for key in KEYS}
    assert {"finetune.learning_rate", "unlearning.lora.dropout", "seeds.0", "resources.unlearn.gpu"} <= names
    assert {"methods.npo.beta", "methods.vl_eraser.weight", "methods.mmunlearner.threshold"} <= names


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ".".join(map(str, key)))
def test_a_number_has_bounds(config: dict[str, Any], key: Key) -> None:
    name = ".".join(map(str, key))
    for value in VALUES:
        accepted = value == 1 and not isinstance(value, bool) and not name.endswith(NOT_ONE)
        accepted |= any(name.endswith(k) and type(v) is type(value) and v == value for k, v in ACCEPTED)
        text = message(changed(config, key, value))
        assert (not text) == accepted, f"{name}: {value!r} gives {text or 'nothing'!r}"
        if text:
            shown = name.removesuffix(".0") + "[0]" if key[-1] == 0 else name
            assert text.startswith(f"config.yaml: {shown} is "), text
            assert "; expected " in text and "\n" not in text


def test_no_reason_is_given_for_what_is_no_key() -> None:
    names = [".".join(map(str, key)) for key in KEYS]
    assert not [key for key, _ in ACCEPTED if not any(name.endswith(key) for name in names)]


def test_the_sentences(config: dict[str, Any]) -> None:
    def said(key: str, value: Any) -> str:
        return message(changed(config, tuple(key.split(".")), value))

    error_page.check("npo.beta: 0", "planning", said("methods.npo.beta", 0))
    error_page.check("npo.beta: .nan", "planning", said("methods.npo.beta", math.nan))
    error_page.check("vl_eraser.weight: 7", "planning", said("methods.vl_eraser.weight", 7))
    error_page.check("vl_eraser.tolerance: -1", "planning", said("methods.vl_eraser.tolerance", -1))
    error_page.check("a learning rate of 1e30", "planning", said("finetune.learning_rate", 1e30))
    error_page.check("a seed of 27 digits", "planning", said("benchmark.seed", 10**26))
    error_page.check("lora.dropout: 1", "planning", message(changed(config, ("unlearning", "lora", "dropout"), 1)))


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"distil": False, "ce": False}, True),
        ({"distil": False, "weight": 1.0}, True),
        ({"ce": False, "weight": 0}, True),
        ({"distil": False}, False),
        ({"ce": False, "weight": 1}, False),
    ],
)
def test_a_method_has_a_loss(config: dict[str, Any], options: dict[str, Any], refused: bool) -> None:
    text = message(changed(config, ("methods", "vl_eraser"), {"learning_rate": 0.01, **options}))
    assert bool(text) == refused
    if options == {"distil": False, "ce": False}:
        error_page.check("vl_eraser with distil: false and ce: false", "planning", text)
