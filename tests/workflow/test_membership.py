"""results/membership.csv: which jobs it takes, what is refused, and a run in miniature."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests import error_page
from tests.workflow.conftest import Finished, call
from tests.workflow.test_refusals import said

Run = Callable[..., Any]
TABLE = "results/membership.csv"


def test_every_model_of_the_ratio_scores_its_pairs_and_answers_nothing(plan: Run, root: Path) -> None:
    n = len(yaml.safe_load((root / "config.yaml").read_text())["methods"])
    outcome = plan("", TABLE)
    assert outcome.code == 0, outcome.text
    jobs = outcome.jobs
    assert (jobs["write_strangers"], jobs["score_pairs"], jobs["membership"]) == (1, 3 + n, 1)
    assert (jobs["train_reference"], jobs["unlearn"]) == (1, n)
    assert not {"predict", "evaluate", "scores"} & set(jobs)
    assert plan("membership: {forget_percents: null}", TABLE).jobs["score_pairs"] == 2 + 3 * (1 + n)


def test_what_membership_is_refused_for(plan: Run, mini_published: Path) -> None:
    def refused(overlay: str) -> str:
        outcome = plan(overlay, TABLE)
        assert outcome.code != 0
        return said(outcome.text, "config.yaml")

    def published(more: str = "", membership: str = "") -> str:
        return (
            f"benchmark: {{name: mllmu, path: '{mini_published}', forget_percents: [25]{more}}}\n"
            f"membership: {{forget_percents: [25]{membership}}}"
        )

    # None, one, with a number of strangers, and for the benchmark that has strangers.
    error_page.check("membership.csv of a published benchmark", "planning", refused(published()))
    for bad_input, overlay in {
        "benchmark.held_out: 1": published(", held_out: 1"),
        "membership.strangers with a published benchmark": published(", held_out: 3", ", strangers: 8"),
        "benchmark.held_out with the synthetic benchmark": "benchmark: {held_out: 3}",
    }.items():
        outcome = plan(overlay, TABLE)
        assert outcome.code != 0
        error_page.check(bad_input, "planning", said(outcome.text, "preset.yaml"))
    seeded = plan(published(", seed: 4"), "results/table3.csv")
    assert seeded.code != 0 and "benchmark.seed is 4, and nothing reads it" in seeded.text
    held = plan(published(", held_out: 3, seed: 4"), TABLE)
    assert held.code == 0 and "write_strangers" not in held.jobs and held.jobs["score_pairs"] > 3, held.text
    strangers = plan(published(", held_out: 3"), "results/benchmark/strangers/people.parquet")
    assert strangers.code != 0
    error_page.check(
        "strangers/people.parquet of a published benchmark", "planning", said(strangers.text, "config.yaml")
    )
    percent = refused("benchmark: {forget_percents: [5]}")
    error_page.check("membership.csv at a ratio that is not in the benchmark", "planning", percent)
    error_page.check("membership.csv with 490 people", "planning", refused("benchmark: {people: 490}"))
    few = plan("benchmark: {people: 490}\nmembership: {strangers: 10}", TABLE)
    assert few.code == 0, few.text


PUBLISHED = """\
benchmark: {{name: mllmu, path: '{folder}', forget_percents: [25], held_out: 3, seed: 4}}
finetune: {{epochs: 1}}
unlearning: {{steps: 2}}
methods: {{ga: {{}}, npo: false, ga_diff: {{}}, kl_min: false, mmunlearner: false, vl_eraser: false}}
membership: {{forget_percents: [25]}}
"""


def ids_in(file: Path) -> set[str]:
    return set(pd.read_parquet(file, columns=["person_id"])["person_id"])


@pytest.mark.slow
def test_people_held_out_of_a_published_benchmark(tmp_path: Path, mini_published: Path, root: Path) -> None:
    """No file of any model has them but those of membership, where they are the non-members."""
    work, settings = tmp_path / "work", tmp_path / "held.yaml"
    settings.write_text(PUBLISHED.format(folder=mini_published))
    targets = ["results/table3.csv", "results/summary.csv", TABLE]
    outcome = call(work, *targets, "--configfile", str(settings), root=root)
    assert outcome.code == 0, outcome.text
    results = work / "results"
    held_out = ids_in(results / "benchmark/held_out/people.parquet")
    assert len(held_out) == 3 and held_out == ids_in(results / "benchmark/held_out/training_pairs.parquet")
    for name in ("people", "images", "questions", "training_pairs", "splits/forget25"):
        assert not held_out & ids_in(results / f"benchmark/{name}.parquet"), name
    # Nor does a model answer a question about them: an id of a question begins with the person's.
    answers = sorted((results / "models").rglob("predictions/*.parquet"))
    assert len(answers) == 5 * 3
    for file in answers:
        questions = pd.read_parquet(file)["question_id"]
        assert not [name for name in questions if set(re.split(r"[/:]", name)) & held_out], file
    # Models of a ratio retain nine people less the held out; vanilla learns all but those.
    manifests = {
        file.parents[1].name: json.loads(file.read_text()) for file in results.glob("models/*/*/*/*/manifest.json")
    }
    pairs = pd.read_parquet(results / "benchmark/training_pairs.parquet")
    forgotten = pd.read_parquet(results / "benchmark/splits/forget25.parquet").query("role == 'forget'")["person_id"]
    assert manifests["vanilla"]["examples_seen"] == len(pairs)
    assert manifests["retain"]["examples_seen"] == len(pairs[~pairs["person_id"].isin(forgotten)])
    # The membership table rests on them, and every table says so.
    rows = pd.read_csv(results / "membership.csv")
    assert set(rows["n_people"]) == {3} and set(rows["n_strangers"]) == {3} and rows["auc"].between(0, 1).all()
    scored = pd.read_parquet(next(results.rglob("vanilla/seed0/membership.parquet")))
    assert set(scored.loc[scored["stranger"], "person_id"]) == held_out
    remark = "3 people whom no ratio forgets are held out (`benchmark.held_out`, drawn with seed 4)"
    for name in ("table3.md", "summary.md", "knowledge.md", "membership.md", "table3.tex", "membership.tex"):
        assert (results / name).read_text().count(remark) == 1, name
    manifest = json.loads((results / "table3.manifest.json").read_text())
    assert manifest["configuration"]["benchmark"]["held_out"] == 3
    assert remark in manifest["made"]["parameters"]["people_note"]
    # Other people: everything is made again.
    settings.write_text(settings.read_text().replace("held_out: 3, seed: 4", "held_out: 3, seed: 5"))
    again = call(work, "-n", *targets, "--configfile", str(settings), root=root)
    assert again.jobs["load_benchmark"] == again.jobs["finetune"] == again.jobs["membership"] == 1, again.text


@pytest.mark.slow
def test_a_run_in_miniature(finished: Finished, tmp_path: Path) -> None:
    run = finished.copy(tmp_path / "project")
    settings = "membership: {forget_percents: [25], strangers: 8}\n"
    run.settings.write_text(run.settings.read_text() + settings)
    table = (run.root / "results/table3.csv").read_bytes()
    outcome = run.call(TABLE)
    assert outcome.code == 0, outcome.text
    assert outcome.jobs == {"write_strangers": 1, "score_pairs": 5, "membership": 1}
    rows = pd.read_csv(run.root / TABLE)
    assert rows["method"].drop_duplicates().tolist() == ["base", "vanilla", "retain", "ga", "npo"]
    assert set(rows["n_people"]) == {2} and set(rows["n_strangers"]) == {8} and rows["auc"].between(0, 1).all()
    assert run.jobs(TABLE) == set()

    # A setting of the scores reruns them; the results table does not wait for it.
    run.settings.write_text(run.settings.read_text().replace("strangers: 8", "strangers: 8, k_percent: 50"))
    models = ["forget0/base", "forget0/vanilla", "forget25/retain", "forget25/ga", "forget25/npo"]
    assert run.jobs(TABLE) == {"membership", *(f"score_pairs {model}/seed0" for model in models)}
    assert run.jobs("results/table3.csv") == set()
    assert (run.root / "results/table3.csv").read_bytes() == table
    # It rests on the models that it names.
    run.settings.write_text(run.settings.read_text().replace(", k_percent: 50", ""))
    (run.root / "results/models/tiny-llava/forget25/ga/seed0/membership.parquet").unlink()
    assert run.jobs(TABLE) == {"membership", "score_pairs forget25/ga/seed0"}
