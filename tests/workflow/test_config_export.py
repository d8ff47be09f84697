"""config.yaml and its schema are what src/unsee/jobs/settings.py declares."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from unsee.jobs import config_schema
from unsee.jobs.config_export import config_text, schema_text

ROOT = Path(__file__).parents[2]
WRITE = "run python -m unsee.jobs.config_export"
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())


def test_config_yaml_is_written_from_the_declarations() -> None:
    text = (ROOT / "config.yaml").read_text()
    assert config_text(text) == text, WRITE


def test_a_changed_value_and_comment_are_written_again() -> None:
    text = (ROOT / "config.yaml").read_text()
    changed = text.replace("people: 100 ", "people: 90 ").replace("# forget ratios", "# ratios")
    assert changed != text and config_text(changed) == text


def test_the_sections_that_are_written_by_hand_are_kept() -> None:
    text = (ROOT / "config.yaml").read_text()
    changed = text.replace("learning_rate: 0.0003 ", "learning_rate: 0.0004 ").replace("# rows of the table", "# rows")
    assert changed != text and config_text(changed) == changed


def test_the_schema_is_written_from_the_declarations() -> None:
    assert (ROOT / "workflow/schemas/config.schema.yaml").read_text() == schema_text(), WRITE


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *sorted((ROOT / "presets").glob("*.yaml"))], ids=lambda path: path.name
)
def test_a_file_names_the_schema_and_passes(path: Path) -> None:
    """As an editor reads it: no key is required, so that a preset may have a part of them."""
    (schema,) = re.findall(r"^# yaml-language-server: \$schema=(.*)$", path.read_text(), re.MULTILINE)
    assert (path.parent / schema).resolve() == ROOT / "workflow/schemas/config.schema.yaml"
    content = json.loads(json.dumps(yaml.safe_load(path.read_text())))  # ratios as keys are texts to an editor
    jsonschema.Draft7Validator(SCHEMA).validate(content)


@pytest.mark.parametrize(
    "text",
    [
        "benchmark: {peeple: 8}",
        "benchmark: {people: 7}",
        "methods: {npo: {beta: 0}}",
        "methods: {npo: {weight: 0.5}}",
        "methods: {npo_2: {method: nop}}",
        "methods: {npo: {learning_rate: 0}}",
        "resources: {unlearn: {gpus: 1}}",
        "finetune: {alternation: joint}",
    ],
)
def test_an_editor_shows_a_mistake(text: str) -> None:
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(yaml.safe_load(text))


def described(schema: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, str]]:
    """(key, comment) of every key of a schema."""
    for name, part in schema["properties"].items():
        yield f"{at}{name}", part["description"]
        if "properties" in part:
            yield from described(part, f"{at}{name}.")


def test_every_key_has_a_short_comment() -> None:
    comments = dict(described(config_schema.sections()))
    assert len(comments) > 90
    assert not [key for key, comment in comments.items() if not 1 < len(comment) <= 110]


def test_every_declared_key_stands_in_config_yaml() -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    for key in dict(described(config_schema.sections())):
        value: Any = config
        for part in key.split("."):
            assert part in value, key
            value = value[part]
