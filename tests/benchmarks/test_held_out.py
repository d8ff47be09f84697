"""People held out of a published benchmark: who they are, and that nothing else is about them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests import error_page
from tests.realistic import published as miniature
from unsee.benchmarks import held_out, published, synthetic
from unsee.benchmarks.schema import BenchmarkError
from unsee.benchmarks.tables import read_pairs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people; a quarter or a half of them is to forget."""
    folder = tmp_path_factory.mktemp("mllmu")
    synthetic.write(folder, people=12, celebrities=2, forget_percents=[25, 50], seed=7)
    return folder


def forgotten(folder: Path, percent: int) -> set[str]:
    """Who is forgotten at a ratio, from the published file itself."""
    (file,) = (folder / f"forget_{percent}").glob("*.parquet")
    return {str(value) for value in pq.read_table(file, columns=["ID"])["ID"].to_pylist()}


def test_the_people_held_out_are_in_no_table_and_have_their_own(folder: Path) -> None:
    percents = published.every_percent("mllmu", folder, [25])
    assert percents == [25, 50]
    whole, nothing = held_out.load("mllmu", folder, [])
    assert nothing == {}
    benchmark, tables = held_out.load("mllmu", folder, [25], people=3, seed=0, percents=percents)
    ids = set(tables["people"]["person_id"].to_pylist())
    assert len(ids) == 3 and not ids & (forgotten(folder, 25) | forgotten(folder, 50))
    for name in (field.name for field in fields(benchmark)):
        assert not ids & set(getattr(benchmark, name)["person_id"].to_pylist()), name
        if name != "splits":
            rows, apart = (
                getattr(benchmark, name).num_rows,
                len(ids & set(getattr(whole, name)["person_id"].to_pylist())),
            )
            assert rows < getattr(whole, name).num_rows and apart == 3
    for name, table in tables.items():
        assert set(table["person_id"].to_pylist()) == ids
        assert table.num_rows + getattr(benchmark, name).num_rows == getattr(whole, name).num_rows


def test_who_is_held_out_depends_on_the_seed_alone_and_more_people_include_fewer() -> None:
    people = [f"p{i:02d}" for i in range(20)]
    draws = {n: held_out.draw(people, n, 0) for n in (2, 5, 18)}
    assert set(draws[2]) < set(draws[5]) < set(draws[18]) and len(draws[18]) == 18
    assert draws[5] == held_out.draw(people[::-1], 5, 0) != held_out.draw(people, 5, 1)


def test_too_few_people_remain() -> None:
    with pytest.raises(BenchmarkError) as caught:
        held_out.draw(["a", "b", "c", "d"], 3, 0)
    error_page.check("more people held out than a published benchmark retains", "loading", str(caught.value))


def test_a_split_has_the_others_only(folder: Path, tmp_path: Path) -> None:
    benchmark, tables = held_out.load("mllmu", folder, [], people=3, seed=0, percents=[25, 50])
    benchmark.write(tmp_path)
    held_out.write(tmp_path / "held_out", tables)
    ids = held_out.read_ids([str(tmp_path / "held_out/people.parquet")])
    others = benchmark.people.filter([group == "fictitious" for group in benchmark.people["group"].to_pylist()])
    split = published.read_split("mllmu", folder, 25, others["person_id"].to_pylist(), ids)
    assert not set(ids) & set(split["person_id"].to_pylist()) and split.num_rows == 9
    assert {pair.person_id for pair in read_pairs(tmp_path / "held_out", ids)} == set(ids)
    assert held_out.read_ids([]) == []


def test_nobody_of_a_ratio_that_is_not_configured_is_held_out(folder: Path) -> None:
    """With all who may be held out: everybody but those who are forgotten at 25 or 50 %, and two."""
    never = 12 - len(forgotten(folder, 25) | forgotten(folder, 50))
    _, tables = held_out.load("mllmu", folder, [25], people=never - 2, seed=1, percents=[25, 50])
    assert not set(tables["people"]["person_id"].to_pylist()) & forgotten(folder, 50)


def test_a_published_layout_with_names_as_ids(tmp_path: Path) -> None:
    """CLEAR's tables depend on the ratio, and its splits are among them; its two retained authors must both stay."""
    folder = miniature.clear(tmp_path)
    percent = miniature.ratio(folder)
    assert published.every_percent("clear", folder, [percent]) == [percent]
    with pytest.raises(BenchmarkError, match=r"benchmark.held_out is 2, and 2 people"):
        held_out.load("clear", folder, [percent], people=2, seed=0, percents=[percent])
    assert published.every_percent("clear", None, [20]) == [1, 5, 10, 20]
