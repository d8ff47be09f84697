"""The pins are in one place, and every environment has them."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def pins(name: str = "requirements.lock") -> dict[str, str]:
    """A lock, by name."""
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def names(requirements: list[str]) -> set[str]:
    """Of the packages, without versions."""
    return {re.split(r"[<>=~! ]", requirement)[0] for requirement in requirements}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_is_plain_pins(name: str) -> None:
    lock = pins(name)
    assert list(lock) == sorted(lock)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in lock)
    assert all(re.fullmatch(r"[0-9][A-Za-z0-9.]*", version) for version in lock.values())
    assert not [name for name in lock if name.startswith(("nvidia", "cuda", "triton"))]


def test_a_run_needs_no_tools_for_testing() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run, dev = pins(), pins("requirements-dev.lock")
    assert run["torch"] == "2.13.0"
    assert not run.keys() & dev.keys(), "one version of each"
    assert names(project["dependencies"]) <= run.keys()
    assert names(project["optional-dependencies"]["dev"]) <= run.keys() | dev.keys()
    assert {"mypy", "pytest", "ruff", "hypothesis", "statsmodels", "snakefmt"} <= dev.keys()


def test_everything_that_a_run_imports_is_among_its_pins() -> None:
    """The pins are what the dependencies need, followed through the installed packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    todo, seen = [Requirement(text) for text in project["dependencies"]], set[tuple[str, str]]()
    while todo:
        requirement = todo.pop()
        for extra in sorted(requirement.extras) or [""]:
            name = canonicalize_name(requirement.name)
            if (name, extra) in seen or re.fullmatch(r"(nvidia|cuda)-.*|triton", name):
                continue
            seen.add((name, extra))
            for text in distribution(name).requires or []:
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    todo.append(needed)
    assert {name for name, _ in seen} == pins().keys()


def test_the_rules_environment_is_the_lock() -> None:
    environment = yaml.safe_load((ROOT / "envs" / "unsee.yaml").read_text())
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    assert dict(pin.split("==") for pin in pip["pip"]) == pins()
