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
from rouge_score.rouge_scorer import RougeScorer

from unsee.evaluation import official
from unsee.evaluation.settings import TASKS

MINI = Path(__file__).with_name("mini.yaml")
SETS = ("forget", "test", "retain", "celebrity")


@pytest.mark.slow
def test_from_nothing_to_the_table(snakemake: Callable[..., Any], root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    targets = ["results/table3.csv", "results/costs.csv", "results/report.html"]
    outcome = snakemake(tmp_path, *targets, "--configfile", str(MINI), new_processes=True)
    assert outcome.code == 0, outcome.text
    _scores_are_those_of_the_answers(results)
    _the_report_is_there(results)

    named = yaml.safe_load((root / "config.yaml").read_text())["methods"]
    overlaid = yaml.safe_load(MINI.read_text())["methods"]
    rows = ["base", "vanilla", "retain", *(name for name in named | overlaid if overlaid.get(name) is not False)]
    table = pd.read_csv(results / "table3.csv")
    scored = [f"{name}_{task}" for name in SETS for task in ("classification", "rouge_l", "cloze")]
    assert list(table.columns) == ["model", "forget_percent", "modality", "method", *scored]
    assert list(table["method"]) == rows * 2
    assert list(table["modality"]) == ["image"] * len(rows) + ["text"] * len(rows)
    assert set(table["model"]) == {"tiny-llava"} and set(table["forget_percent"]) == {25}
    assert not table.isna().any().any()
    assert table.filter(regex="classification|cloze").max().max() <= 100
    assert table.filter(regex="rouge").max().max() <= 1
    assert list(pd.read_csv(results / "costs.csv")["method"]) == rows[1:]
    for name in ("table3.md", "knowledge.csv", "knowledge.md", "scores.csv", "dataset_statistics.csv"):
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
    again = {"unlearn": 1, "predict": 1, "evaluate": 3, "scores": 1, "tables": 1}
    assert outcome.jobs == again, outcome.text

    shutil.rmtree(results)
    outcome = snakemake(tmp_path, "results/table3.csv", "--configfile", str(MINI))
    assert outcome.code == 0, outcome.text
    assert (results / "table3.csv").read_bytes() == before

    # The same model asked as the benchmark's authors ask, and the figure that the base model must have again.
    folder = results / "models/tiny-llava/forget25/vanilla/seed0/official"
    overlay = tmp_path / "asked.yaml"
    overlay.write_text(
        "evaluation: {protocol: mllmu-official}\n"
        "anchor: {forget_percent: 25, forget: 0.5, retain: 0.5, tolerance: 0.5}\n"
    )
    run = "results/models/tiny-llava/forget25/vanilla/seed0"
    scores = [f"{run}/scores/{task}.parquet" for task in TASKS]
    outcome = snakemake(tmp_path, *scores, "results/anchor_check.csv", "--configfile", str(MINI), str(overlay))
    assert outcome.code == 0, outcome.text
    assert "finetune" not in outcome.jobs
    written = official.export(tmp_path / run)
    assert {file.parent for file in written} == {folder}
    assert len(json.loads((folder / "vanilla_final_evaluation_results.json").read_text())) == 4
    assert len(list(folder.glob("*_generation_results.json"))) == 4
    checked = pd.read_csv(results / "anchor_check.csv")
    assert checked["set"].tolist() == ["forget", "retain"] and checked["n_questions"].tolist() == [3 * 2, 9 * 2]
    assert checked["within"].all()


def _scores_are_those_of_the_answers(results: Path) -> None:
    """Every mean of scores.csv again, from the answers, with pandas and rouge-score and nothing of ours."""
    questions = pd.read_parquet(results / "benchmark" / "questions.parquet")
    splits = pd.read_parquet(results / "benchmark" / "splits")
    gone = set(splits.loc[(splits["forget_percent"] == 25) & (splits["role"] == "forget"), "person_id"])
    names = {"profile": "retain", "celebrity": "celebrity"}
    questions["set"] = [
        ("forget" if origin == "profile" else "test") if person in gone else names.get(origin)
        for person, origin in zip(questions["person_id"], questions["origin"], strict=True)
    ]
    rouge = RougeScorer(["rougeL"], use_stemmer=True)
    scores, compared = pd.read_csv(results / "scores.csv"), 0
    for folder in sorted((results / "models").glob("*/*/*/*/predictions")):
        answers = (
            pd.concat([pd.read_parquet(file) for file in sorted(folder.iterdir())])
            .merge(questions, on="question_id")
            .dropna(subset="set")
        )
        open_ended = answers["task"] == "generation"
        answers.loc[open_ended, "rouge_l"] = [
            rouge.score(a, b)["rougeL"].fmeasure
            for a, b in answers.loc[open_ended, ["reference", "output"]].itertuples(index=False)
        ]
        blank = answers["task"] == "cloze"
        plain = answers[["output", "reference"]].apply(
            lambda texts: texts.str.lower().str.findall(r"\w+").str.join(" ")
        )
        same = plain["output"] == plain["reference"]
        answers["accuracy"] = 100.0 * answers["correct"].astype(float).where(~blank, same.astype(float))
        method_scores = scores[scores["method"] == folder.parts[-3]]
        for metric in ("accuracy", "rouge_l"):
            expected = answers.groupby(["set", "modality", "task"])[metric].mean().dropna()
            values = method_scores[method_scores["metric"] == metric].set_index(["set", "modality", "task"])["value"]
            assert values.sort_index().to_dict() == pytest.approx(expected.sort_index().to_dict(), abs=1e-6)
            compared += len(values)
    assert compared == len(scores[scores["metric"].isin(["accuracy", "rouge_l"])]) > 100


def _the_report_is_there(results: Path) -> None:
    assert (results / "report.html").read_text().count("data:image/svg+xml") == 8
    ranking, curves = pd.read_csv(results / "ranking.csv"), pd.read_csv(results / "trade_off.csv")
    methods = set(pd.read_csv(results / "summary.csv")["method"]) - {"base", "vanilla", "retain"}
    assert set(ranking["method"]) == methods
    assert sorted(curves["scale"].dropna().unique()) == [0, 0.5, 1]
