"""Checkpoints and data that look like the published ones, each written once per run of the suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.realistic import checkpoints, published, vocabularies


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file with a family's published vocabulary; a test that needs it is skipped without a registry."""
    files: dict[str, Path] = {}
    fetch = {"llava": vocabularies.fetch_llama, "qwen2_vl": vocabularies.fetch_qwen}

    def file(family: str) -> Path:
        if family not in files:
            try:
                files[family] = fetch[family](tmp_path_factory.mktemp(f"vocabulary_{family}"))
            except vocabularies.NoRegistry as error:
                pytest.skip(f"no package registry with the vocabulary of {family}: {error}")
        return files[family]

    return file


@pytest.fixture(scope="session")
def realistic_checkpoint(shared_folder: Callable[..., Path]) -> Callable[[str, str], Path]:
    """A small checkpoint of a family in a layout, with a stand-in of its vocabulary."""

    def folder(family: str, layout: str) -> Path:
        name = f"realistic-{family}-{layout}"
        return shared_folder(name, lambda path: checkpoints.write(family, layout, path / layout)) / layout

    return folder


@pytest.fixture(scope="session")
def realistic_mllmu(shared_folder: Callable[..., Path]) -> Path:
    """A miniature of MLLMU-Bench: eight people, three of them to forget at 40 %, and a celebrity."""
    return shared_folder("mllmu", published.mllmu)


@pytest.fixture(scope="session")
def realistic_clear(shared_folder: Callable[..., Path]) -> Path:
    """A miniature of CLEAR: three authors."""
    return shared_folder("clear", published.clear)
