"""docs/source.md says the defaults that the code has."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from unsee.training.settings import TrainingSettings
from unsee.unlearning import catalogue

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "source.md").read_text(encoding="utf-8")
CELLS = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in PAGE.splitlines() if line.startswith("| ")]
ROWS = [cells for cells in CELLS if len(cells) == 4 and cells[2] != "default"]
DEFAULTS = [pair for cells in ROWS for pair in re.findall(r"`([a-z0-9_.]+): ([^`]+)`", cells[2])]


def defaults(key: str) -> list[Any]:
    """The values that a key of the page has where nothing is configured."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    first, _, rest = key.rpartition(".")
    methods = catalogue.read()
    if first in methods:
        return [config["methods"][first].get(rest, methods[first].options[rest].default)]
    training = {f"{name}.{f.name}": f.default for name in ("finetune", "unlearning") for f in fields(TrainingSettings)}
    paths = [f"{section}.{key}" for section in ("finetune", "unlearning")] if first in ("", "lora") else [key]
    return [_look_up(config, path, training.get(path)) for path in paths]


def _look_up(config: Any, path: str, otherwise: Any) -> Any:
    for part in path.split("."):
        if part not in config:
            return otherwise
        config = config[part]
    return config


def test_the_page_has_its_readings() -> None:
    assert len(ROWS) > 15 and len(DEFAULTS) > 20


@pytest.mark.parametrize(("key", "value"), DEFAULTS)
def test_a_default_is_as_the_page_says(key: str, value: str) -> None:
    values = defaults(key)
    assert values and all(default == yaml.safe_load(value) for default in values), values
