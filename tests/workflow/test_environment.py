"""The pins are in one place, and every environment has them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def pins() -> dict[str, str]:
    """The lock, by name."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_the_lock_is_plain_pins() -> None:
    lock = pins()
    assert lock["torch"] == "2.13.0"
    assert list(lock) == sorted(lock)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in lock)
    assert all(re.fullmatch(r"[0-9][A-Za-z0-9.]*", version) for version in lock.values())
    assert not [name for name in lock if name.startswith(("nvidia", "cuda", "triton"))]


def test_the_lock_has_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[<>=~! ]", requirement)[0] for requirement in wanted}
    assert names <= set(pins())


def test_the_rules_environment_is_the_lock() -> None:
    environment = yaml.safe_load((ROOT / "envs" / "unsee.yaml").read_text())
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    assert dict(pin.split("==") for pin in pip["pip"]) == pins()
