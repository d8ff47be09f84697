"""The search in miniature: from nothing to tuned rows, on other people than the reported ones, and what runs again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.people import contents_of
from tests.workflow.conftest import Finished

pytestmark = pytest.mark.slow
MINI = """\
benchmark: {people: 8, celebrities: 2, forget_percents: [25]}
finetune: {epochs: 1}
unlearning: {steps: 2}
tuning: {learning_rates: [0.0001, 0.01]}
methods:
  npo: {tune: {beta: [0.2, 0.4]}, beta: tuned}
  ga: {learning_rate: {25: 0.00015}}
  ga_diff: false
  kl_min: false
  mmunlearner: false
  vl_eraser: false
"""
RUN = "tiny-llava/forget25/npo/seed0"
TARGETS = ["results/table3.csv", "results/tuning.csv"]
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def project(finished: Finished, snakemake: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished run with a search besides; tests put back what they change."""
    root = finished.copy(tmp_path_factory.mktemp("tuning") / "project").root
    (root / "mini.yaml").write_text(MINI)
    outcome = snakemake(root, *TARGETS, "--configfile", str(root / "mini.yaml"), root=root)
    assert outcome.code == 0, outcome.text
    assert outcome.jobs["tune"] == 4 and outcome.jobs["unlearn"] == 2
    assert not {"finetune", "train_reference"} & set(outcome.jobs), "those of the reported people are there"
    return root


@pytest.fixture
def jobs(project: Path, snakemake: Call) -> Callable[[str, str], dict[str, int]]:
    """What would run with another text in mini.yaml."""

    def planned(old: str = "", new: str = "", *targets: str) -> dict[str, int]:
        assert old in MINI
        (project / "other.yaml").write_text(MINI.replace(old, new))
        call = ["-n", *(targets or TARGETS), "--configfile", str(project / "other.yaml")]
        outcome = snakemake(project, *call, root=project)
        assert outcome.code == 0, outcome.text
        counts: dict[str, int] = outcome.jobs
        return counts

    return planned


def test_no_trial_reads_a_reported_person(project: Path) -> None:
    """By content: ids, names in any text, and the bytes of pictures, in everything that was read for the search."""
    results = project / "results"
    receipts = [
        *results.glob("jobs/tun*/**/*.json"),
        *results.glob("jobs/tun*.json"),
        *results.glob("jobs/select*/**/*.json"),
    ]
    read = {name for file in receipts for name in json.loads(file.read_text())["inputs"]}
    assert len(receipts) == 20
    from_results = {name for name in read if name.startswith("results/")}
    assert from_results and not [name for name in from_results if not name.startswith("results/tuning/")]
    trials = results / "jobs/tune" / RUN
    (trial,) = trials.glob("*0.2.json")
    assert {
        f"results/tuning/benchmark/{name}.parquet" for name in ("people", "images", "questions", "training_pairs")
    } <= set(json.loads(trial.read_text())["inputs"])
    reported = contents_of(sorted((results / "benchmark").rglob("*.parquet")))
    tried = contents_of(sorted(project / name for name in from_results if name.endswith(".parquet")))
    assert len(reported.names) == len(tried.names) == 10
    assert reported.shared_with(tried) == []


def test_the_table_of_trials(project: Path) -> None:
    table = pd.read_csv(project / "results/tuning.csv")
    assert table["method"].tolist() == ["ga", "ga", "npo", "npo"]
    assert table["settings"].tolist() == ["learning_rate 0.0001", "learning_rate 0.01", "beta 0.2", "beta 0.4"]
    assert table.groupby("method")["selected"].sum().to_dict() == {"npo": 1, "ga": 1}
    assert (table["trials"] == 2).all() and (table["criterion"] == "combined").all()
    assert table["value"].between(0, 1).all()
    assert not list((project / "results/tuning/trials").rglob("adapter*"))
    assert table["edge"].notna().sum() == 2, "of two values each is at an edge"


def test_the_value_that_was_used_is_shown(project: Path) -> None:
    selected = json.loads((project / f"results/tuning/selected/{RUN}.json").read_text())
    best = pd.read_csv(project / "results/tuning.csv").query("method == 'npo' and selected").iloc[0]
    beta = selected["settings"]["beta"]
    assert best["settings"] == f"beta {beta}"
    manifest = json.loads((project / f"results/models/{RUN}/manifest.json").read_text())
    assert manifest["settings"]["beta"] == beta
    assert manifest["selection"] == {"settings": {"beta": beta}, "criterion": "combined", "trials": 2}
    of_table = json.loads((project / "results/table3.manifest.json").read_text())
    assert of_table["selections"] == {f"results/models/{RUN}": manifest["selection"]}
    ga = json.loads((project / "results/models/tiny-llava/forget25/ga/seed0/manifest.json").read_text())
    assert ga["settings"]["learning_rate"] == 0.00015 and "selection" not in ga


def test_what_runs_again(project: Path, jobs: Callable[..., dict[str, int]]) -> None:
    assert jobs() == {}
    again = {"predict": 1, "evaluate": 3, "scores": 1, "tables": 1}
    # A reported rate: no trial.
    assert jobs("{25: 0.00015}", "{25: 0.0005}") == {"unlearn": 1, **again}
    # The value at a ratio that is not run.
    assert jobs("{25: 0.00015}", "{25: 0.00015, other: 0.1}") == {}
    # One method's grid: its own trials, only those that are new; its row, which rests on them.
    changed = {"tune": 1, "select_settings": 1, "tuning": 1, "unlearn": 1, **again}
    assert jobs("beta: [0.2, 0.4]", "beta: [0.2, 0.8]") == changed
    # The other one's grid: no row of the table, whose values are all set.
    assert jobs("[0.0001, 0.01]", "[0.0001, 0.02]") == {"tune": 1, "select_settings": 1, "tuning": 1}
    # Rows that are not tuned ask for no trial.
    assert not {"tune", "select_settings", "tuning"} & set(jobs("beta: tuned", "beta: 0.3", "results/table3.csv"))


def test_a_methods_file_runs_its_own_trials(project: Path, jobs: Callable[..., dict[str, int]]) -> None:
    file = project / "src/unsee/unlearning/methods/ga.py"
    before = file.read_text()
    file.write_text(before + "\nCHANGED = True\n")
    try:
        counts = jobs()
    finally:
        file.write_text(before)
    assert (counts["tune"], counts["select_settings"], counts["unlearn"]) == (2, 1, 1)
    assert "tuning_finetune" not in counts


def test_a_lost_trial_is_made_again(project: Path, jobs: Callable[..., dict[str, int]], tmp_path: Path) -> None:
    (trial,) = (project / "results/tuning/trials" / RUN).glob("*0.2.parquet")
    shutil.move(trial, tmp_path)
    try:
        counts = jobs("", "", "results/tuning.csv")
    finally:
        shutil.move(tmp_path / trial.name, trial)
    assert counts == {"tune": 1, "select_settings": 1, "tuning": 1}
