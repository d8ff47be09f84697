"""The whole workflow in miniature: from nothing to the table, once; then nothing; then the same bytes again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

MINI = Path(__file__).with_name("mini.yaml")
SETS = ("forget", "test", "retain", "celebrity")


@pytest.mark.slow
def test_from_nothing_to_the_table(snakemake: Callable[..., Any], root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    outcome = snakemake(tmp_path, "results/table3.csv", "results/costs.csv", "--configfile", str(MINI))
    assert outcome.code == 0, outcome.text

    named = yaml.safe_load((root / "config.yaml").read_text())["methods"]
    overlaid = yaml.safe_load(MINI.read_text())["methods"]
    rows = ["vanilla", "retain", *(name for name in named | overlaid if overlaid.get(name) is not False)]
    table = pd.read_csv(results / "table3.csv")
    scored = [f"{name}_{task}" for name in SETS for task in ("classification", "rouge_l", "cloze")]
    assert list(table.columns) == ["model", "forget_percent", "modality", "method", *scored]
    assert list(table["method"]) == rows * 2
    assert list(table["modality"]) == ["image"] * len(rows) + ["text"] * len(rows)
    assert set(table["model"]) == {"tiny-llava"} and set(table["forget_percent"]) == {25}
    assert not table.isna().any().any()
    assert table.filter(regex="classification|cloze").max().max() <= 100
    assert table.filter(regex="rouge").max().max() <= 1
    assert list(pd.read_csv(results / "costs.csv")["method"]) == rows
    for name in ("table3.md", "scores.csv", "dataset_statistics.csv"):
        assert (results / name).stat().st_size
    # Progress goes to the log of its job.
    run = "tiny-llava/forget25/npo_soft/seed0"
    assert "step/s" in (results / "jobs" / "unlearn" / f"{run}.log").read_text()

    outcome = snakemake(tmp_path, "results/table3.csv", "--configfile", str(MINI))
    assert "Nothing to be done" in outcome.text

    # A table does not outlive what it rests on.
    before = (results / "table3.csv").read_bytes()
    (results / "models" / run / "adapter" / "adapter_model.safetensors").unlink()
    outcome = snakemake(tmp_path, "-n", "results/table3.csv", "--configfile", str(MINI))
    again = {"unlearn": 1, "predict": 1, "score": 1, "scores": 1, "table3": 1}
    assert outcome.jobs == again, outcome.text

    shutil.rmtree(results)
    outcome = snakemake(tmp_path, "results/table3.csv", "--configfile", str(MINI))
    assert outcome.code == 0, outcome.text
    assert (results / "table3.csv").read_bytes() == before

    # The same model asked as the benchmark's authors ask, and the figure that the base model must have again.
    folder = results / "models/tiny-llava/forget25/vanilla/seed0/official"
    official = "results/models/tiny-llava/forget25/vanilla/seed0/official/vanilla_final_evaluation_results.json"
    asked = "evaluation={protocol: mllmu-official}"
    known = "anchor={forget_percent: 25, forget: 0.5, retain: 0.5, tolerance: 0.5}"
    arguments = ("--rerun-triggers", "mtime", "--configfile", str(MINI), "--config", asked, known)
    outcome = snakemake(tmp_path, official, "results/anchor_check.csv", *arguments)
    assert outcome.code == 0, outcome.text
    assert "finetune" not in outcome.jobs
    assert len(json.loads((tmp_path / official).read_text())) == 4
    assert len(list(folder.glob("*_generation_results.json"))) == 4
    checked = pd.read_csv(results / "anchor_check.csv")
    assert checked["set"].tolist() == ["forget", "retain"] and checked["n_questions"].tolist() == [3 * 2, 9 * 2]
    assert checked["within"].all()
