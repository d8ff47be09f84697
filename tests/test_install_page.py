"""docs/install.md and the Dockerfile agree with the lock and the project. The image itself is not built here."""

from __future__ import annotations

import re
from pathlib import Path

from tools import environment

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each in one line, without comments."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in "\n".join(lines).replace("\\\n", "").splitlines()]  # type: ignore[misc]


def test_the_page_names_the_torch_of_the_lock() -> None:
    version = re.search(r"^torch==(.+)$", LOCK, re.MULTILINE)
    assert version and f"pins torch {version[1]} " in PAGE and f"`{version[1]}+cpu`" in PAGE


def test_every_remedy_leads_to_the_page() -> None:
    assert (ROOT / environment.PAGE).is_file()
    assert not re.search(r"^(nvidia|cuda|triton)", LOCK, re.MULTILINE), "the page says that torch brings them"


def test_the_image_is_made_as_make_setup_makes_the_environment() -> None:
    made = instructions()
    assert {name for name, _ in made} <= {"FROM", "RUN", "ARG", "WORKDIR", "COPY", "CMD"}
    python = re.fullmatch(r"python:(\d+)\.(\d+)-slim-bookworm", made[0][1])
    assert made[0][0] == "FROM" and python and (int(python[1]), int(python[2])) >= environment.OLDEST
    assert ("RUN", "python3 tools/environment.py") in made
    assert made.index(("COPY", ". .")) < made.index(("RUN", "python3 tools/environment.py"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert made[-1] == ("CMD", '["make", "table"]') and re.search(r"^table:", makefile, re.MULTILINE)
    # An environment of this machine must not come into the image.
    assert ".venv*" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
