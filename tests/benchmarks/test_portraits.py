"""The shipped portraits: all there, all decodable, and a person's pictures alike."""

from __future__ import annotations

import io
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

PATH = Path(str(files("unsee").joinpath("data", "portraits.parquet")))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    return pq.read_table(PATH).to_pylist()


def test_every_identity_has_its_views(rows: list[dict[str, object]]) -> None:
    views = [(row["identity"], row["view"]) for row in rows]
    assert views == [(i, view) for i in range(653) for view in range(5 if i >= 500 else 3)]
    assert PATH.stat().st_size < 9_000_000


def test_every_portrait_is_an_adult_by_estimate(rows: list[dict[str, object]]) -> None:
    assert min(row["age"] for row in rows) >= 24  # type: ignore[type-var]
    assert {row["gender"] for row in rows} == {"female", "male"}


def test_every_picture_decodes_and_no_two_are_the_same(rows: list[dict[str, object]]) -> None:
    assert len({row["jpeg"] for row in rows}) == len(rows)
    for row in rows:
        image = Image.open(io.BytesIO(row["jpeg"]))  # type: ignore[arg-type]
        image.load()
        assert (image.size, image.mode) == ((96, 96), "RGB")


def test_another_picture_of_a_person_is_nearer_than_anybody_elses(rows: list[dict[str, object]]) -> None:
    def small(view: int) -> np.ndarray:
        pictures = [Image.open(io.BytesIO(row["jpeg"])) for row in rows if row["view"] == view]  # type: ignore[arg-type]
        return np.stack([np.asarray(p.resize((16, 16)), np.float32).ravel() for p in pictures])

    first, second = small(0), small(1)
    distance = ((first[:, None] - second[None]) ** 2).sum(-1)
    assert (distance.argmin(1) == np.arange(653)).mean() > 0.85  # 0.89 when they were drawn
