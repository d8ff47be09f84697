"""The synthetic benchmark: counts of the paper's Table 3, plausible questions, the same bytes every time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from unsee.benchmarks import profiles, published, question_templates, statistics, synthetic
from unsee.benchmarks.schema import BenchmarkError
from unsee.benchmarks.splits import assign_sets, draw_forget_set, draw_split_table
from unsee.benchmarks.tables import read_split, read_table

TABLE_3 = {
    "Total Questions": "20754",
    "Image + Text Questions": "10377",
    "Pure Text Questions": "10377",
    "Total Images": "1153",
    "Forget Percentile": "5%/10%/15%",
    "Multiple-choice Questions": "11530",
    "Free Generation Questions": "4612",
    "Fill-in-the-blank Questions": "4612",
    "Total Profiles": "653",
    "Fictitious": "500",
    "Real Celeb": "153",
    "Total Countries": "70",
    "Total Regions": "240",
    "Total Birth Years": "211",
    "Total Employment": "145",
}


def test_the_full_benchmark_has_the_papers_statistics(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "raw", people=500, celebrities=153, forget_percents=[5, 10, 15], seed=3)
    published.load("mllmu", tmp_path / "raw", [5, 10, 15]).write(tmp_path / "tables")
    counted = statistics.count(tmp_path / "tables", [5, 10, 15])
    assert dict(zip(counted["statistic"], counted["value"], strict=True)) == TABLE_3
    names = read_table(tmp_path / "tables", "people", ["name"])["name"].to_pylist()
    assert len(set(names)) == 653


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_people(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthetic.write(tmp_path / name, people=8, celebrities=4, forget_percents=[25], seed=seed)
    files = {name: sorted((tmp_path / name).rglob("*.parquet")) for name in "abc"}
    assert [f.read_bytes() for f in files["a"]] == [f.read_bytes() for f in files["b"]]
    people = {name: pq.read_table(tmp_path / name / "Full_Set")["biography"].to_pylist() for name in "ac"}
    assert not set(people["a"]) & set(people["c"])
    famous = {name: pq.read_table(tmp_path / name / "Retain_Set")["biography"].to_pylist() for name in "ac"}
    assert famous["a"] == famous["c"], "the base model knows them"


def test_each_person_is_asked_eighteen_questions(mini_benchmark: Path) -> None:
    questions = read_table(mini_benchmark, "questions").to_pylist()
    per_person = Counter((q["person_id"], q["origin"]) for q in questions)
    assert set(per_person.values()) == {18}
    composed = Counter(
        (q["modality"], q["task"]) for q in questions if (q["person_id"], q["origin"]) == ("000", "test")
    )
    assert composed == {
        (m, t): n for m in ("image", "text") for t, n in (("classification", 5), ("generation", 2), ("cloze", 2))
    }


def test_options_are_other_peoples_values_of_the_same_attribute() -> None:
    faces = synthetic.Portraits()
    people = synthetic.fictitious_profiles(faces, 40, 5)
    letters: Counter[str] = Counter()
    for i, person in enumerate(people):
        row = synthetic._profile_row(faces, str(i), person, people, 5)
        for attribute, entry in zip(
            question_templates.MULTIPLE_CHOICE, row["Classification_Task"]["Pure_Text_Questions"], strict=True
        ):
            options = list(entry["Options"].values())
            assert len(set(options)) == 4
            assert entry["Options"][entry["Correct_Answer"]] == getattr(person, attribute)
            assert set(options) <= {getattr(other, attribute) for other in people}
            letters[entry["Correct_Answer"]] += 1
    assert set(letters) == set("ABCD")
    assert max(letters.values()) < 2 * min(letters.values())


def test_training_words_are_never_the_evaluations(mini_benchmark: Path) -> None:
    trained = set(read_table(mini_benchmark, "training_pairs", ["question"])["question"].to_pylist())
    questions = set(read_table(mini_benchmark, "questions", ["question"])["question"].to_pylist())
    assert not trained & questions


def test_every_asked_fact_is_taught_with_and_without_picture(mini_benchmark: Path) -> None:
    pairs = read_table(mini_benchmark, "training_pairs").to_pylist()
    taught = {(p["person_id"], p["modality"], p["answer"]) for p in pairs}
    for question in read_table(mini_benchmark, "questions").to_pylist():
        if question["origin"] != "celebrity":
            assert (question["person_id"], question["modality"], question["answer"]) in taught


def test_pools_have_the_sizes_that_the_statistics_count() -> None:
    assert len(set(profiles.employments())) == 145
    assert len({region for _, region in profiles.regions()}) == 240
    assert len({country for country, _ in profiles.regions()}) == 70
    assert len(set(profiles.BIRTH_YEARS)) == 211
    assert not set(profiles.names("last")) & set(profiles.names("bystander"))


def test_too_many_people_and_empty_ratios_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="benchmark.people is 501; .* has portraits of 500"):
        synthetic.write(tmp_path, people=501, celebrities=4, forget_percents=[5], seed=0)
    with pytest.raises(BenchmarkError, match="1 % of 12 people is 0"):
        synthetic.write(tmp_path, people=12, celebrities=4, forget_percents=[1], seed=0)
    assert not list(tmp_path.iterdir()), "nothing is written before everything is checked"


def test_draws_do_not_depend_on_order() -> None:
    ids = [f"{i:03d}" for i in range(40)]
    assert draw_forget_set(ids, 10, 0) == draw_forget_set(ids[::-1], 10, 0)
    assert len(draw_forget_set(ids, 10, 0)) == 4
    assert not draw_forget_set(ids, 10, 0) <= draw_forget_set(ids, 15, 0), "drawn for each ratio by itself"


def test_sets_follow_the_split(mini_benchmark: Path) -> None:
    questions = read_table(mini_benchmark, "questions").to_pandas()
    splits = read_table(mini_benchmark, "splits").to_pandas()
    sets = assign_sets(questions, splits, 25)
    forgotten = set(splits.loc[splits["role"] == "forget", "person_id"])
    assert len(forgotten) == 3
    for (person, origin), names in sets.groupby([questions["person_id"], questions["origin"]], dropna=False):
        if origin == "celebrity":
            expected = "celebrity"
        elif origin == "profile":
            expected = "forget" if person in forgotten else "retain"
        else:
            expected = "test" if person in forgotten else None
        assert all(value == expected or (expected is None and value != value or value is expected) for value in names)
    with pytest.raises(BenchmarkError, match="no people at 10 %"):
        assign_sets(questions, splits, 10)


def test_a_ratio_is_drawn_read_and_kept_alone_as_with_the_others(mini_published: Path, mini_benchmark: Path) -> None:
    whole = read_table(mini_benchmark, "splits")
    ids = [f"{i:03d}" for i in range(12)]
    assert sorted(whole["person_id"].to_pylist()) == ids
    assert draw_split_table(ids, 25, 7).equals(whole)
    assert published.read_split("mllmu", mini_published, 25, ids).equals(whole)
    assert read_split(mini_benchmark, 25).equals(whole)


def test_without_ratios_the_other_tables_are_the_same(
    mini_published: Path, mini_benchmark: Path, tmp_path: Path
) -> None:
    published.load("mllmu", mini_published, []).write(tmp_path)
    names = ("images", "people", "questions", "training_pairs")
    assert sorted(path.stem for path in tmp_path.iterdir()) == list(names)
    for name in names:
        assert (tmp_path / f"{name}.parquet").read_bytes() == (mini_benchmark / f"{name}.parquet").read_bytes()
