"""Strangers are people of the same kind as the benchmark's, and none of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp

from unsee.benchmarks import published, strangers, synthetic
from unsee.benchmarks.schema import BenchmarkError
from unsee.benchmarks.synthetic import Portraits, celebrity_profiles, fictitious_profiles
from unsee.benchmarks.tables import Pair, person_ids, read_images, read_pairs, read_table
from unsee.jobs.requests import PORTRAITS

N = PORTRAITS["fictitious"]


@pytest.fixture(scope="module")
def portraits() -> Portraits:
    return Portraits()


def test_nobody_of_the_benchmark_is_a_stranger(portraits: Portraits) -> None:
    met = [*fictitious_profiles(portraits, 100, 3), *celebrity_profiles(portraits)]
    unmet = synthetic.stranger_profiles(portraits, 100, 3, 200)
    assert len({p.name for p in unmet}) == len({p.identity for p in unmet}) == 200
    assert not {p.name for p in unmet} & {p.name for p in met}
    assert not {p.identity for p in unmet} & {p.identity for p in met}
    assert all(portraits.gender[p.identity] == p.gender for p in unmet)


def test_more_strangers_leave_the_first_ones_as_they_are(portraits: Portraits) -> None:
    few, more = (synthetic.stranger_profiles(portraits, 20, 0, n) for n in (5, 40))
    assert few == more[:5]
    assert few != synthetic.stranger_profiles(portraits, 20, 1, 5)


def test_too_few_portraits(portraits: Portraits) -> None:
    assert len(portraits.identities(celebrities=False)) == N
    assert len(synthetic.stranger_profiles(portraits, N - 2, 0, 2)) == 2
    with pytest.raises(BenchmarkError, match="has portraits of 2 people who are not in the benchmark, and 3 strangers"):
        synthetic.stranger_profiles(portraits, N - 2, 0, 3)


def test_strangers_pairs_match_the_benchmarks(tmp_path: Path, portraits: Portraits) -> None:
    """The same questions as often, and answers of the same lengths; but other names and portraits."""
    n = 150
    synthetic.write(tmp_path / "raw", people=n, celebrities=4, forget_percents=[10], seed=5)
    published.load("mllmu", tmp_path / "raw", [10]).write(tmp_path / "met")
    strangers.write(tmp_path / "unmet", people=n, seed=5, strangers=n)
    met, unmet = (read_pairs(tmp_path / name, person_ids(tmp_path / name, 0, "all")) for name in ("met", "unmet"))
    assert set(Counter(pair.person_id for pair in met).values()) == {17}
    assert set(Counter(pair.person_id for pair in unmet).values()) == {17}
    assert all(pair.image_id in (None, f"{pair.person_id}/profile") for pair in unmet)
    kinds = [_questions(tmp_path / "met", met), _questions(tmp_path / "unmet", unmet)]
    assert set(kinds[0]) == set(kinds[1])
    # One of two wordings is drawn for each person: four standard errors of the difference of two such counts.
    assert all(abs(kinds[0][kind] - kinds[1][kind]) <= 4 * np.sqrt(2 * n / 4) for kind in kinds[0])
    assert ks_2samp(*([len(pair.answer) for pair in pairs] for pairs in (met, unmet))).pvalue > 0.01
    (shown,) = read_images(tmp_path / "unmet", {"stranger-000/profile"})
    profile = synthetic.stranger_profiles(portraits, n, 5, 1)[0]
    assert shown[1] == portraits.jpeg[profile.identity, 0]
    assert [pair.answer for pair in unmet if pair.pair_id == "stranger-000/00"] == [profile.name]


def _questions(folder: Path, pairs: list[Pair]) -> Counter[tuple[str, bool]]:
    """How often each question occurs, without the names, with and without a picture."""
    people = read_table(folder, "people").to_pylist()
    names = {person["person_id"]: person["name"] for person in people}
    return Counter((pair.question.replace(names[pair.person_id], "NAME"), pair.image_id is None) for pair in pairs)
