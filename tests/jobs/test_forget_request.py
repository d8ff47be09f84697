"""A named request: how it becomes a ratio, what is refused, and what the tables are told."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import error_page
from tests.benchmarks import folders
from unsee.benchmarks import splits
from unsee.benchmarks.schema import BenchmarkError
from unsee.jobs import forget_request
from unsee.jobs.config import ConfigError, resolve
from unsee.jobs.config_checks import check
from unsee.jobs.plan import Plan
from unsee.jobs.tuning import TuningPlan
from unsee.unlearning.catalogue import read

ROOT = Path(__file__).parents[2]
Config = dict[str, Any]


@pytest.fixture
def config() -> Config:
    """The project's own configuration."""
    loaded: Config = yaml.safe_load((ROOT / "config.yaml").read_text())
    return loaded


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """The six people of :mod:`tests.benchmarks.folders`."""
    return folders.write(tmp_path / "people")


def requested(config: Config, tmp_path: Path, **benchmark: Any) -> Config:
    """The configuration under an overlay with these keys of the benchmark, after the request is applied."""
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(yaml.safe_dump({"benchmark": benchmark}))
    config = copy.deepcopy(config)
    config["benchmark"] |= benchmark
    forget_request.apply(config, ROOT, [ROOT / "config.yaml", overlay])
    return config


def complaint(config: Config, tmp_path: Path, **benchmark: Any) -> str:
    """What is said about a request, with paths replaced."""
    applied = requested(config, tmp_path, **benchmark)
    with pytest.raises(ConfigError) as caught:
        check(applied, read(), ROOT, [ROOT / "config.yaml", tmp_path / "overlay.yaml"])
    return str(caught.value).replace(str(tmp_path), "FOLDER")


@pytest.mark.parametrize(
    ("n", "people", "percent"), [(3, 30, 10), (1, 500, 1), (1, 3, 33), (2, 3, 67), (499, 500, 99), (5, 100, 5)]
)
def test_the_nearest_percent_stands_for_a_request(n: int, people: int, percent: int) -> None:
    assert forget_request.ratio_of(n, people) == percent


def test_a_request_is_the_only_ratio(config: Config, tmp_path: Path) -> None:
    applied = requested(config, tmp_path, forget=["017", "003", "099"])
    check(applied, read(), ROOT, [ROOT / "config.yaml", tmp_path / "overlay.yaml"])
    assert applied["benchmark"]["forget"] == ["003", "017", "099"]
    assert applied["benchmark"]["forget_percents"] == [3]
    assert applied["robustness"]["forget_percents"] == applied["membership"]["forget_percents"] == [3]
    plan = Plan(applied, resolve(applied, read()), ROOT)
    assert {run.forget_percent for run in plan.runs} == {0, 3}
    assert plan.people_note == "3 people of 100 are named in `benchmark.forget`, shown as 3 %."
    # Values by ratio have one at some ratios and one for all others.
    rates = {run.method: plan.settings_of(run)["learning_rate"] for run in plan.runs if run.method in plan.entries}
    assert rates["ga"] == config["methods"]["ga"]["learning_rate"]["other"]
    assert forget_request.note(config["benchmark"], ROOT) == ""


def test_applying_a_request_twice_changes_nothing(config: Config, tmp_path: Path) -> None:
    """Snakemake reads the configuration again in the process of each job."""
    applied = requested(config, tmp_path, forget=["017"])
    again = copy.deepcopy(applied)
    forget_request.apply(again, ROOT, [ROOT / "config.yaml", tmp_path / "overlay.yaml"])
    assert again == applied


def test_a_file_of_ids(config: Config, tmp_path: Path, people: Path) -> None:
    names = tmp_path / "forget.csv"
    names.write_text('\ufeffid\n"fay"\n\n ben \n', encoding="utf-8")
    applied = requested(config, tmp_path, name="folder", path=str(people), forget=str(names))
    assert applied["benchmark"]["forget"] == ["ben", "fay"]
    assert applied["benchmark"]["forget_percents"] == [33]


def test_only_the_split_and_what_rests_on_it_depend_on_a_request(config: Config, tmp_path: Path) -> None:
    plans = []
    for forget in (["003"], ["004"]):
        applied = requested(config, tmp_path, forget=forget)
        plans.append(Plan(applied, resolve(applied, read()), ROOT))
    differing = {
        rule
        for rule in (
            "write_benchmark",
            "load_benchmark",
            "finetune",
            "train_reference",
            "unlearn",
            "predict",
            "evaluate",
        )
        for run in [run.wildcards("tiny-llava") | {"task": "cloze"} for run in plans[0].runs if run.method == "ga"]
        if plans[0].job_hash(rule, run) != plans[1].job_hash(rule, run)
    }
    assert differing == set(), "these depend on the split's file, not on the ids"
    split = {"forget_percent": "1"}
    assert plans[0].job_hash("split_benchmark", split) != plans[1].job_hash("split_benchmark", split)
    vanilla = next(run for run in plans[0].runs if run.method == "vanilla")
    assert plans[0].training_splits(vanilla) == []


def test_the_search_of_settings_draws_other_people(config: Config, tmp_path: Path) -> None:
    applied = requested(config, tmp_path, forget=["003", "004"])
    tuning = TuningPlan.of(applied, resolve(applied, read()), ROOT)
    assert tuning.benchmark.request is None and tuning.benchmark.draws_splits
    assert tuning.benchmark.forget_percents == [2]


def test_strangers_of_membership_are_counted_by_the_request(config: Config, tmp_path: Path) -> None:
    applied = requested(config, tmp_path, forget=[f"{i:03d}" for i in range(10)])
    plan = Plan(applied, resolve(applied, read()), ROOT)
    assert plan.membership_percents == [10] and plan.strangers == 30


BAD: dict[str, dict[str, Any]] = {
    "benchmark.forget: nobody of that id": {"forget": ["003", "1000"]},
    "benchmark.forget: an id twice": {"forget": ["003", "003"]},
    "benchmark.forget: a number in place of an id": {"forget": [3]},
    "benchmark.forget: an empty list": {"forget": []},
    "benchmark.forget: everybody": {"people": 8, "forget": [f"{i:03d}" for i in range(8)]},
    "benchmark.forget: ratios besides": {"forget": ["003"], "forget_percents": [5]},
    "benchmark.forget: a file that is not there": {"forget": "nobody.txt"},
}


@pytest.mark.parametrize("bad_input", BAD)
def test_a_bad_request_is_refused_when_it_is_planned(bad_input: str, config: Config, tmp_path: Path) -> None:
    message = complaint(config, tmp_path, **BAD[bad_input]).replace(str(ROOT), "PROJECT")
    assert message.splitlines()[0].startswith("overlay.yaml: benchmark.forget")
    error_page.check(bad_input, "planning", message)


@pytest.mark.parametrize(
    ("bad_input", "text"),
    [
        ("benchmark.forget: an id twice in a file", "ada\nben\nada\n"),
        ("benchmark.forget: a file without ids", "id\n\n"),
        ("benchmark.forget: a name that is no id", "ada\nBen Short\n"),
    ],
)
def test_a_bad_file_is_refused_by_its_line(
    bad_input: str, text: str, config: Config, tmp_path: Path, people: Path
) -> None:
    (tmp_path / "forget.txt").write_text(text)
    benchmark = {"name": "folder", "path": str(people), "forget": str(tmp_path / "forget.txt")}
    message = complaint(config, tmp_path, **benchmark)
    error_page.check(bad_input, "planning", message)


def test_a_request_over_a_preset_with_ratios(config: Config, tmp_path: Path) -> None:
    """The file on top decides."""
    preset, top = tmp_path / "preset.yaml", tmp_path / "top.yaml"
    preset.write_text("benchmark: {forget_percents: [5, 10]}")
    top.write_text("benchmark: {forget: ['003']}")
    config["benchmark"] |= {"forget_percents": [5, 10], "forget": ["003"]}
    files = [ROOT / "config.yaml", preset, top]
    forget_request.apply(config, ROOT, files)
    assert config["benchmark"]["forget_percents"] == [1]
    check(config, read(), ROOT, files)


@pytest.mark.parametrize(
    ("bad_input", "changed"),
    [
        ("benchmark.path: no folder of people", {"path": "nowhere"}),
        ("benchmark.path: a folder without people.csv", {"path": "FOLDER"}),
        ("benchmark.path: null with benchmark.name folder", {"path": None}),
        ("benchmark.people with benchmark.name folder", {"people": 20}),
        ("benchmark.forget_percents: too small for the people of a folder", {"forget_percents": [5]}),
    ],
)
def test_a_folder_is_checked_when_it_is_planned(
    bad_input: str, changed: dict[str, Any], config: Config, tmp_path: Path, people: Path
) -> None:
    benchmark = {"name": "folder", "path": str(people), "forget_percents": [33], **changed}
    benchmark["path"] = str(tmp_path) if benchmark["path"] == "FOLDER" else benchmark["path"]
    error_page.check(bad_input, "planning", complaint(config, tmp_path, **benchmark))


def test_the_split_of_a_request() -> None:
    table = splits.request_split_table(["a", "b", "c"], 33, ["b"]).to_pylist()
    assert [(row["forget_percent"], row["person_id"], row["role"]) for row in table] == [
        (33, "b", "forget"),
        (33, "a", "retain"),
        (33, "c", "retain"),
    ]
    with pytest.raises(BenchmarkError, match="'x' is nobody of the benchmark"):
        splits.request_split_table(["a", "b"], 50, ["x"])
    with pytest.raises(BenchmarkError, match="names all 2 people"):
        splits.request_split_table(["a", "b"], 99, ["a", "b"])
