"""Two results folders share vanilla and retain-only models: the second trains none, and its table has the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests import error_page
from tests.workflow.conftest import ROOT, Snakemake
from unsee.jobs import config_checks
from unsee.jobs.config import ConfigError, content_of
from unsee.unlearning import catalogue

SETTINGS = """\
benchmark: {{people: 8, celebrities: 2, forget_percents: [25], seed: {seed}}}
finetune: {{epochs: 1}}
methods: {{ga: false, npo: false, ga_diff: false, kl_min: false, mmunlearner: false, vl_eraser: false}}
evaluation: {{tasks: [classification]}}
shared_models: {shared}
"""
VANILLA, RETAIN = "forget0/vanilla/seed0", "forget25/retain/seed0"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    files = [ROOT / "config.yaml", tmp_path / "preset.yaml"]

    def refused(folder: str) -> str:
        files[1].write_text(f"shared_models: {folder}\n")
        config = content_of(files[0]) | content_of(files[1])
        with pytest.raises(ConfigError) as caught:
            config_checks.check(config, catalogue.read(), ROOT, files)
        return str(caught.value)

    error_page.check("shared_models: a folder that is not there", "planning", refused("/no/such/folder"))
    error_page.check("shared_models: a relative path", "planning", refused("here"))


@pytest.mark.slow
def test_the_second_folder_trains_nothing(snakemake: Snakemake, tmp_path: Path) -> None:
    (shared := tmp_path / "shared").mkdir()

    def run(name: str, seed: int = 0, *arguments: str) -> Path:
        # A base model at another place each time: a place changes no result.
        base = tmp_path / f"base of {name}"
        if not base.exists():
            shutil.copytree(ROOT / "src/unsee/data/tiny-llava", base)
        settings = tmp_path / f"{name}.yaml"
        settings.write_text(SETTINGS.format(seed=seed, shared=shared) + f"model: {{path: '{base}'}}\n")
        outcome = snakemake(tmp_path / name, "results/table3.csv", "--configfile", str(settings), *arguments)
        assert outcome.code == 0, outcome.text
        return tmp_path / name / "results"

    def logs(results: Path) -> list[str]:
        jobs = [("finetune", VANILLA), ("train_reference", RETAIN)]
        return [(results / f"jobs/{rule}/tiny-llava/{job}.log").read_text() for rule, job in jobs]

    first, second = run("first"), run("second")
    assert not any("taken from the shared models" in log for log in logs(first))
    assert all("taken from the shared models" in log for log in logs(second))
    for name in ("table3.csv", "scores.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert len(list(shared.glob("*/*/record.json"))) == 2

    # The costs are those of the training, and the receipts those of a job that wrote these files.
    costs = [pd.read_csv(folder / "costs.csv").set_index("method")["seconds"] for folder in (first, second)]
    recorded = [json.loads(file.read_text())["cost"]["seconds"] for file in shared.glob("*/*/record.json")]
    assert sorted(costs[1][["vanilla", "retain"]].round(3)) == sorted(round(seconds, 3) for seconds in recorded)
    weights = f"models/tiny-llava/{VANILLA}/adapter/adapter_model.safetensors"
    receipts = [json.loads((f / f"jobs/finetune/tiny-llava/{VANILLA}.json").read_text()) for f in (first, second)]
    assert receipts[0]["outputs"][f"results/{weights}"] == receipts[1]["outputs"][f"results/{weights}"]
    assert receipts[0]["job_hash"] == receipts[1]["job_hash"]
    assert not (second / weights).is_symlink()

    # Other people are another model.
    third = run("third", 1)
    assert not any("taken from the shared models" in log for log in logs(third))

    # A file that is damaged in a folder is taken anew, and one that is damaged in the shared folder is trained anew.
    whole = (second / weights).read_bytes()
    (second / weights).write_bytes(whole[:100])
    run("second")
    assert (second / weights).read_bytes() == whole and "taken from" in logs(second)[0]
    for file in shared.glob("*/*/adapter/adapter_model.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    (second / weights).write_bytes(whole[:100])
    run("second")
    assert (second / weights).read_bytes() == whole and "is damaged; training it again" in logs(second)[0]
