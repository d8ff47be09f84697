"""Methods that do not train, in miniature: the rules do not know what kind of result a run has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.workflow.conftest import Finished

pytestmark = pytest.mark.slow
MINI = """\
benchmark: {people: 8, celebrities: 2, forget_percents: [25]}
finetune: {epochs: 1}
methods:
  kvw: {strength: 0.1}
  manu: {share: 0.05}
  prompt: {words: "Forget {names}."}
only: [kvw, manu, prompt]
trade_off: {scales: [0.5], others: 2}
robustness: {forget_percents: [25]}
"""
RUNS = "results/models/tiny-llava/forget25"
ATTACKED = [
    f"{RUNS}/{method}/seed0/attacks/{attack}.parquet" for method in ("manu", "prompt") for attack in ("int8", "hint")
]
TARGETS = ["results/table3.csv", "results/trade_off.csv", *ATTACKED]


@pytest.fixture(scope="module")
def project(finished: Finished, snakemake: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished run, whose vanilla and retain-only model are these methods' too."""
    root = finished.copy(tmp_path_factory.mktemp("untrained") / "project").root
    (root / "mini.yaml").write_text(MINI)
    outcome = snakemake(root, *TARGETS, "--configfile", str(root / "mini.yaml"), root=root)
    assert outcome.code == 0, outcome.text
    assert outcome.jobs["unlearn"] == 3 and outcome.jobs["rescale"] == 1, "only gates that weaken have parts"
    assert not {"finetune", "train_reference"} & set(outcome.jobs)
    return root


def test_every_kind_of_result_has_its_row_and_its_costs(project: Path) -> None:
    table = pd.read_csv(project / "results/table3.csv")
    assert set(table["method"]) == {"base", "vanilla", "retain", "kvw", "manu", "prompt"}
    costs = pd.read_csv(project / "results/costs.csv").set_index("method")
    assert (costs.loc[["kvw", "manu", "prompt"], ["steps", "backward_passes"]] == 0).all(axis=None)
    assert (costs.loc[["kvw", "manu"], "forward_passes"] > 0).all() and costs.loc["prompt", "forward_passes"] == 0
    for method, kind in {"kvw": "gates", "manu": "gates", "prompt": "instruction"}.items():
        config = project / RUNS / method / "seed0/adapter/adapter_config.json"
        assert json.loads(config.read_text())["kind"] == kind


def test_a_result_without_parts_is_not_in_the_ranking(project: Path) -> None:
    curves = pd.read_csv(project / "results/trade_off.csv")
    assert set(curves["method"]) == {"vanilla", "retain", "kvw"}
    assert curves.loc[curves["method"] == "kvw", "scale"].tolist() == [0, 0.5, 1]
    assert pd.read_csv(project / "results/ranking.csv")["method"].tolist() == ["kvw"]


def test_a_prompt_is_in_front_of_every_question_of_an_attack_too(project: Path) -> None:
    people = pd.read_parquet(project / "results/benchmark/people.parquet").set_index("person_id")["name"]
    splits = pd.read_parquet(project / "results/benchmark/splits/forget25.parquet")
    names = [people[person] for person in sorted(splits.loc[splits["role"] == "forget", "person_id"])]
    text = f"Forget {', '.join(names)}. "
    for file in ("predictions/cloze.parquet", "attacks/int8.parquet", "attacks/hint.parquet"):
        prompts = pd.read_parquet(project / RUNS / "prompt/seed0" / file)["prompt"]
        assert len(prompts) and prompts.str.contains(text, regex=False).all(), file


def test_nothing_runs_again_and_a_setting_of_training_changes_nothing(
    project: Path, snakemake: Callable[..., Any]
) -> None:
    (project / "other.yaml").write_text(f"{MINI}unlearning: {{steps: 9, learning_rate: 0.5}}\n")
    for settings in ("mini.yaml", "other.yaml"):
        outcome = snakemake(
            project,
            "-n",
            f"{RUNS}/kvw/seed0/manifest.json",
            *ATTACKED,
            "--configfile",
            str(project / settings),
            root=project,
        )
        assert outcome.code == 0, outcome.text
        assert not outcome.jobs, outcome.text
