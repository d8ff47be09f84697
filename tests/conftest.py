"""What the tests share: a miniature benchmark and a random tiny LLaVA, each made once a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def mini_published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of 12 people and 4 celebrities in the published layout."""
    from unsee.benchmarks import synthetic

    folder = tmp_path_factory.mktemp("published")
    synthetic.write(folder, people=12, celebrities=4, forget_percents=[25], seed=7)
    return folder


@pytest.fixture(scope="session")
def mini_benchmark(mini_published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as canonical tables."""
    from unsee.benchmarks import mllmu

    folder = tmp_path_factory.mktemp("benchmark")
    mllmu.load(mini_published, [25]).write(folder)
    return folder


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny LLaVA with random weights, as a checkpoint folder."""
    from unsee.benchmarks import wording
    from unsee.models import tiny

    folder = tmp_path_factory.mktemp("checkpoint")
    processor = tiny.build_processor(wording.vocabulary(), vocabulary_size=1000)
    tiny.save(tiny.build_model(processor, seed=0, width=64, layers=2), processor, folder)
    return folder


@pytest.fixture(scope="session")
def model_spec(random_checkpoint: Path) -> dict[str, Any]:
    """The configuration's ``model`` section for the random checkpoint."""
    return {"name": "random", "family": "llava", "path": str(random_checkpoint), "dtype": "float32"}
