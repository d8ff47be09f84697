"""results/membership.csv: which jobs it takes, what is refused, and a run in miniature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests import error_page
from tests.workflow.conftest import Finished
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

    published = f"benchmark: {{name: mllmu, path: '{mini_published}', forget_percents: [25]}}"
    error_page.check("membership.csv of a published benchmark", "planning", refused(published))
    percent = refused("benchmark: {forget_percents: [5]}")
    error_page.check("membership.csv at a ratio that is not in the benchmark", "planning", percent)
    error_page.check("membership.csv with 490 people", "planning", refused("benchmark: {people: 490}"))
    few = plan("benchmark: {people: 490}\nmembership: {strangers: 10}", TABLE)
    assert few.code == 0, few.text


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
