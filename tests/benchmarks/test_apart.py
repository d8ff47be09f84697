"""A benchmark apart from another one: no name, picture, id or celebrity is in both, by content."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.people import Contents, contents_of
from unsee.benchmarks import published, strangers, synthetic
from unsee.benchmarks.schema import BenchmarkError

SIZE = {"people": 100, "celebrities": 20}
#: Without care, a name is drawn for seed 0 and for this one.
SEED = 2
#: As many as there are portraits for.
STRANGERS = 300


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contents, Contents]:
    """What two benchmarks hold, the second apart from the first."""
    folder = tmp_path_factory.mktemp("apart")
    synthetic.write(folder / "reported", seed=0, **SIZE)
    synthetic.write(folder / "other", seed=SEED, apart_from=0, **SIZE)
    for name in ("reported", "other"):
        published.load("synthetic", folder / name, []).write(folder / f"{name}-tables")
    reported, other = (contents_of(sorted(folder.glob(f"{name}*/**/*.parquet"))) for name in ("reported", "other"))
    return reported, other


def test_nobody_is_in_both(two: tuple[Contents, Contents]) -> None:
    reported, other = two
    n = SIZE["people"] + SIZE["celebrities"]
    for contents in (reported, other):
        assert len(contents.names) == len(contents.ids) == n
        assert len(contents.pictures) == 2 * SIZE["people"] + SIZE["celebrities"]
    assert reported.shared_with(other) == []


def test_no_stranger_is_in_the_other(two: tuple[Contents, Contents], tmp_path: Path) -> None:
    """Those whom membership compares the reported people with."""
    strangers.write(tmp_path, people=SIZE["people"], seed=0, strangers=STRANGERS)
    unknown = contents_of(sorted(tmp_path.glob("*.parquet")))
    assert len(unknown.names) == STRANGERS
    assert unknown.shared_with(two[1]) == []


def test_the_check_finds_what_is_shared(two: tuple[Contents, Contents], tmp_path: Path) -> None:
    """Another seed alone shares ids, celebrities, pictures of people and a name."""
    reported, _ = two
    synthetic.write(tmp_path / "careless", seed=SEED, **SIZE)
    published.load("synthetic", tmp_path / "careless", []).write(tmp_path / "tables")
    careless = contents_of(sorted((tmp_path / "tables").glob("*.parquet")))
    kinds = {kind for kind, _ in reported.shared_with(careless)}
    assert kinds == {"id", "name", "picture"}
    fictitious = {name for kind, name in reported.shared_with(careless) if kind == "name"} - {
        profile.name for profile in synthetic.celebrity_profiles(synthetic.Portraits())
    }
    assert fictitious == {"Sonia Simpson"}, "take a seed for which a name is drawn twice"


def test_half_of_the_portraits_is_the_most() -> None:
    portraits = synthetic.Portraits()
    both = [*synthetic.fictitious_profiles(portraits, 250, 0), *synthetic.profiles_apart(portraits, 250, 1, 0)]
    assert sorted(profile.identity for profile in both) == list(range(500))
    assert len({profile.name for profile in both}) == 500
    with pytest.raises(BenchmarkError, match=r"benchmark.people is 251; .* has portraits of 249 more"):
        synthetic.profiles_apart(portraits, 251, 1, 0)
