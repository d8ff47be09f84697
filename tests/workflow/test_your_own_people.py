"""A folder of people and a named request in the workflow: its data stages, what a changed request runs again, and the tutorial."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.benchmarks import folders
from tests.workflow.conftest import Finished, Snakemake, call
from unsee.benchmarks import check, published, ten_portraits
from unsee.results.tables import remarks

PAGE = Path(__file__).parents[2] / "docs" / "your-own-people.md"
PRESET = Path(__file__).parents[2] / "presets" / "run-your-own-people.yaml"


def overlay(folder: Path, **benchmark: Any) -> Path:
    """A file that sets these keys of the benchmark."""
    file = folder / "overlay.yaml"
    file.write_text(yaml.safe_dump({"benchmark": benchmark}))
    return file


def split(results: Path, percent: int) -> dict[str, str]:
    """The role of each person at a ratio."""
    table = pd.read_parquet(results / f"benchmark/splits/forget{percent}.parquet")
    return dict(zip(table["person_id"], table["role"], strict=True))


@pytest.mark.slow
def test_six_people_through_the_data_stages(snakemake: Snakemake, tmp_path: Path) -> None:
    people = folders.write(tmp_path / "people")
    target = "results/benchmark/splits/forget33.parquet"
    drawn = overlay(tmp_path, name="folder", path=str(people), forget_percents=[33], seed=1)
    outcome = snakemake(tmp_path, target, "--configfile", str(drawn))
    assert outcome.code == 0, outcome.text
    roles = split(tmp_path / "results", 33)
    assert sorted(roles) == ["ada", "ben", "cleo", "dan", "eve", "fay"]
    assert list(roles.values()).count("forget") == 2
    questions = pd.read_parquet(tmp_path / "results/benchmark/questions.parquet")
    assert (
        len(questions) == 6 * 2 * 13
    )  # of each person in the profile and in the test set: 7 with a picture, 6 without

    # A request of as many people changes the split and nothing else.
    named = overlay(tmp_path, name="folder", path=str(people), forget=["fay", "ada"])
    outcome = snakemake(tmp_path, target, "--configfile", str(named))
    assert outcome.jobs == {"split_benchmark": 1}, outcome.text
    assert {person for person, role in split(tmp_path / "results", 33).items() if role == "forget"} == {"ada", "fay"}

    # Another picture, or a template, is read again.
    (people / "ada-1.png").write_bytes(folders.picture(250))
    assert snakemake(tmp_path, "-n", target, "--configfile", str(named)).jobs == {
        "load_benchmark": 1,
        "split_benchmark": 1,
    }
    outcome = snakemake(tmp_path, target, "--configfile", str(named))
    assert outcome.code == 0, outcome.text
    (people / "templates.yaml").write_text("city: false\n")
    assert snakemake(tmp_path, "-n", target, "--configfile", str(named)).jobs == {
        "load_benchmark": 1,
        "split_benchmark": 1,
    }

    # A picture that cannot be read is refused before the first job.
    (people / "eve-2.png").write_text("no picture")
    outcome = snakemake(tmp_path, target, "--configfile", str(named))
    assert outcome.code and "Nothing was run" in outcome.text
    assert re.search(r"people\.csv, row 6, column pictures: 'eve-2\.png': cannot be decoded", outcome.text)


@pytest.mark.slow
def test_a_changed_request_runs_nothing_of_vanillas_training_again(finished: Finished, tmp_path: Path) -> None:
    """The finished run has drawn two of eight people; now two others are named."""
    run = finished.copy(tmp_path / "project")
    settings = yaml.safe_load(run.settings.read_text())
    forgotten = {person for person, role in split(run.root / "results", 25).items() if role == "forget"}
    others = sorted({f"{i:03d}" for i in range(8)} - forgotten)[:2]
    settings["benchmark"] = {"people": 8, "celebrities": 2, "forget": others}
    run.settings.write_text(yaml.safe_dump(settings))
    jobs = run.jobs()
    trained = {job for job in jobs if job.split()[0] in ("finetune", "train_reference", "unlearn")}
    assert trained == {
        "train_reference forget25/retain/seed0",
        "unlearn forget25/ga/seed0",
        "unlearn forget25/npo/seed0",
    }
    assert {"split_benchmark forget25", "scores", "tables", "summary"} <= jobs
    assert not {job for job in jobs if job.split()[0] in ("write_benchmark", "load_benchmark")}
    # Vanilla is asked again, about the test questions of the people who are named now.
    assert {"predict forget0/vanilla/seed0", "predict forget25/ga/seed0"} <= jobs


def test_a_request_in_published_files(plan: Snakemake, mini_published: Path, tmp_path: Path) -> None:
    """Twelve people and no folder of the ratio that stands for one of them."""
    people = "benchmark: {name: mllmu, path: '%s', forget: ['%s']}"
    outcome = plan(people % (mini_published, "004"))
    assert outcome.code == 0, outcome.text
    assert "results/models/tiny-llava/forget8/retain/seed0/manifest.json" in outcome.text
    outcome = plan(people % (mini_published, "012"))
    assert outcome.code and "names '012', and that is no known id of a person" in outcome.text


def test_a_request_in_clear(plan: Snakemake, realistic_clear: Path) -> None:
    """Its tables are read at every ratio that is there; who has no questions is refused when the split is made."""
    names = published.person_ids("clear", realistic_clear)
    assert names
    outcome = plan(f"benchmark: {{name: clear, path: '{realistic_clear}', forget: ['{names[0]}']}}\nattacks: {{}}")
    assert outcome.code == 0, outcome.text


def commands() -> list[list[str]]:
    """The commands of the tutorial's first block."""
    block = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    return [shlex.split(line) for line in block.splitlines()]


@pytest.mark.slow
def test_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The page's commands, with less training and two methods."""
    write, read, run = commands()
    assert write[:3] == ["python", "-m", "unsee.benchmarks.ten_portraits"]
    assert read[:3] == ["python", "-m", "unsee.benchmarks.check"]
    monkeypatch.chdir(tmp_path)
    assert ten_portraits.main(write[3:]) == 0
    assert check.main(read[3:]) == 0
    assert "Fictitious: 10" in capsys.readouterr().out

    assert run[0] == "snakemake" and run[run.index("--configfile") + 1] == "presets/run-your-own-people.yaml"
    mini = tmp_path / "mini.yaml"
    settings = yaml.safe_load(PRESET.read_text())
    people = tmp_path / settings["benchmark"]["path"]
    settings["benchmark"] |= {"path": str(people), "forget": str(tmp_path / settings["benchmark"]["forget"])}
    mini.write_text(
        yaml.safe_dump({**settings, "finetune": {"epochs": 1}, "unlearning": {"steps": 2}, "only": ["ga_diff", "npo"]})
    )
    targets = [*run[run.index("--directory") + 2 :], "results/report.html"]
    outcome = call(tmp_path / "my-run", *targets, "--configfile", str(mini))
    assert outcome.code == 0, outcome.text
    results = tmp_path / "my-run" / "results"
    names = (people / "forget.txt").read_text().splitlines()
    assert {person for person, role in split(results, 30).items() if role == "forget"} == set(names)

    table = pd.read_csv(results / "table3.csv")
    celebrity = [name for name in table.columns if name.startswith("celebrity_")]
    assert table[celebrity].isna().all().all() and not table.drop(columns=celebrity).isna().any().any()
    said = "3 people of 10 are named in `benchmark.forget`, shown as 30 %."
    empty = "The columns of `celebrity` are empty: the benchmark has no celebrities"
    for name in ("table3.md", "summary.md", "ranking.md"):
        text = (results / name).read_text()
        assert said in text and empty in text and "nan" not in text.lower().replace("nancy", ""), name
    assert "nan" not in (results / "table3.tex").read_text()
    page = (results / "report.html").read_text()
    assert said.replace("`benchmark.forget`", "<code>benchmark.forget</code>") in page


@pytest.mark.slow
def test_one_person_is_forgotten_and_nothing_is_claimed(tmp_path: Path) -> None:
    """No interval, no p-value, no verdict; the tables say why."""
    ten_portraits.write(tmp_path / "people", people=5)
    name = (tmp_path / "people" / "forget.txt").read_text().splitlines()[0]
    settings = {
        "benchmark": {"name": "folder", "path": str(tmp_path / "people"), "forget": [name]},
        "finetune": {"epochs": 1},
        "unlearning": {"steps": 2},
        "only": ["ga_diff", "npo"],
        "trade_off": {"scales": [0.5], "others": 2},
    }
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump(settings))
    targets = ["results/table3.csv", "results/summary.csv", "results/report.html"]
    outcome = call(tmp_path, *targets, "--configfile", str(tmp_path / "mini.yaml"))
    assert outcome.code == 0, outcome.text
    results = tmp_path / "results"
    for file in ("table3.md", "summary.md", "ranking.md"):
        assert "One person is forgotten (20 %)" in (results / file).read_text(), file
    summary = pd.read_csv(results / "summary.csv")
    numbers = ["combined_low", "forgetting_low", "p_against_best", "ks_p", "still_known", "over_unlearned"]
    assert summary[numbers].isna().all().all() and summary["forgetting"].notna().all()
    differences = pd.read_csv(results / "differences.csv")
    forgotten = differences[differences["set"].isin(["forget", "test"])]
    assert forgotten[["low", "high", "p", "p_holm"]].isna().all().all()
    assert set(forgotten["verdict"]) == {"unclear"} and not forgotten["over_unlearned"].any()
    knowledge = pd.read_csv(results / "knowledge.csv")
    assert set(knowledge["verdict"]) == {"unclear"}
    text = (results / "table3.md").read_text()
    assert "Of a single forgotten person vanilla knows more" in text and "Nothing to forget is shown" not in text


def test_the_remarks_of_a_run() -> None:
    items = pd.DataFrame({"set": ["forget", "forget", "retain"], "person_id": ["a", "b", "c"], "forget_percent": 20})
    assert remarks.remarks(items, "Two are named.") == [
        "Two are named.",
        "The columns of `test` are empty: the benchmark has no questions in other words.",
        "The columns of `celebrity` are empty: the benchmark has no celebrities, so that utility is that of `retain` alone.",
    ]
    full = pd.concat([items.assign(set=name) for name in ("forget", "test", "retain", "celebrity")])
    assert remarks.remarks(full) == []
    (line,) = remarks.remarks(full[full["person_id"] == "a"])
    assert line.startswith("One person is forgotten (20 %).")
