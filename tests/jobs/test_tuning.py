"""The plan of the search: what each trial is made of, and what a change of the configuration changes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from unsee.jobs.config import ConfigError, resolve
from unsee.jobs.plan import Plan
from unsee.jobs.requests import PORTRAITS, check_request
from unsee.jobs.runs import Run
from unsee.jobs.tuning import TuningPlan
from unsee.unlearning import catalogue

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
NPO = Run(10, "npo", 0)
GRID = {"learning_rate": [0.0001, 0.0002, 0.0004, 0.0008], "beta": [0.2, 0.4]}
TUNED = {"npo": {"tune": GRID, "learning_rate": "tuned", "beta": "tuned"}}


def plans(*, root: Path = ROOT, methods: dict[str, Any] | None = None, **sections: Any) -> tuple[Plan, TuningPlan]:
    """The plan of config.yaml with other values of some sections, and the plan of its search."""
    config = copy.deepcopy(CONFIG)
    for name, values in sections.items():
        config[name] = config[name] | values if isinstance(values, dict) else values
    for name, values in (methods or {}).items():
        config["methods"][name] = values
    entries = resolve(config, catalogue.read())
    tuning = TuningPlan.of(config, entries, root)
    return Plan(config, entries, root, tuning=tuning), tuning


def trial_hashes(plan: TuningPlan) -> dict[str, str]:
    """The hash of every trial by its file."""
    model = plan.model.name
    return {
        file: plan.job_hash("tune", {**run.wildcards(model), "trial": Path(file).stem})
        for run in plan.searched_runs
        for file in plan.trial_files(run)
    }


def test_every_method_has_as_many_trials_at_every_ratio() -> None:
    _, tuning = plans(methods=TUNED)
    counts = {run: len(tuning.trial_files(run)) for run in tuning.searched_runs}
    assert set(counts) == {Run(percent, name, 0) for percent in (5, 10, 15) for name in CONFIG["methods"]}
    assert set(counts.values()) == {8}
    folder = "results/tuning/trials/tiny-llava/forget10/npo/seed0"
    assert tuning.trial_files(NPO)[1] == f"{folder}/learning_rate-0.0001-beta-0.4.parquet"
    settings = tuning.trial_settings(NPO, "learning_rate-0.0001-beta-0.4")
    assert (settings["learning_rate"], settings["beta"], settings["steps"]) == (0.0001, 0.4, 172)


def test_a_trial_reads_other_people_and_models_than_the_reported_ones() -> None:
    plan, tuning = plans(methods=TUNED)
    written = tuning.params("write_benchmark")["settings"]({})
    assert written == {"people": 100, "celebrities": 30, "seed": 1, "apart_from": 0}
    assert "apart_from" not in plan.params("write_benchmark")["settings"]({})
    read = [*tuning.benchmark.tables, *tuning.benchmark.raw, *tuning.evaluation_splits(NPO)]
    read += [*tuning.vanilla_files(NPO), *tuning.reference_files(NPO), *tuning.reference_scores(NPO)]
    assert len(tuning.reference_files(NPO)) == 2
    assert all(file.startswith("results/tuning/") for file in read)
    assert not {*read} & {*plan.parts, *plan.benchmark.tables, *plan.benchmark.raw}


def test_a_reported_setting_changes_no_trial_that_varies_it() -> None:
    before = trial_hashes(plans()[1])
    assert trial_hashes(plans(methods={"ga": {"learning_rate": 0.5}})[1]) == before
    assert trial_hashes(plans(methods={"ga": {"learning_rate": {5: 0.1, "other": 0.2}}})[1]) == before


def test_a_methods_grid_and_settings_change_its_own_trials_only() -> None:
    before = trial_hashes(plans()[1])
    after = trial_hashes(plans(methods=TUNED)[1])
    assert {file for file in before if file not in after} == {file for file in before if "/npo/" in file}
    assert all(before[file] == after[file] for file in before if file in after)
    wider = {"npo": {"tune": {**GRID, "learning_rate": [0.00005, *GRID["learning_rate"]]}}}
    more = trial_hashes(plans(methods=wider)[1])
    assert all(more[file] == after[file] for file in after)
    steps = trial_hashes(plans(methods={"ga": {"steps": 3}})[1])
    assert {file for file in before if steps[file] != before[file]} == {file for file in before if "/ga/" in file}


def test_the_seed_of_the_search_changes_its_people() -> None:
    def of_people(plan: TuningPlan) -> str:
        return plan.job_hash("write_benchmark", {})

    assert of_people(plans()[1]) != of_people(plans(tuning={"seed": 2})[1])
    # The reported people change too: who is apart from them is drawn anew.
    assert of_people(plans()[1]) != of_people(plans(benchmark={"seed": 5})[1])


def test_a_value_by_ratio_is_that_of_the_runs_ratio() -> None:
    plan, _ = plans(methods={"ga": {"learning_rate": {5: 0.1, "other": 0.2}}})
    rates = {percent: plan.settings_of(Run(percent, "ga", 0))["learning_rate"] for percent in (5, 10, 15)}
    assert rates == {5: 0.1, 10: 0.2, 15: 0.2}
    shown = plan.table_configuration()["methods"]["ga"]["settings"]["learning_rate"]
    assert shown == {"5": 0.1, "10": 0.2, "15": 0.2}
    other, _ = plans(methods={"ga": {"learning_rate": {5: 0.1, "other": 0.3}}})

    def job(of: Plan, percent: int) -> str:
        return of.job_hash("unlearn", Run(percent, "ga", 0).wildcards("tiny-llava"))

    assert job(plan, 5) == job(other, 5) and job(plan, 10) != job(other, 10)


def test_only_a_tuned_run_reads_what_the_search_found() -> None:
    plan, _ = plans(methods=TUNED, seeds=[3, 4])
    assert plan.selected_files(Run(10, "ga", 3)) == []
    selected = ["results/tuning/selected/tiny-llava/forget10/npo/seed3.json"]
    assert plan.selected_files(Run(10, "npo", 3)) == plan.selected_files(Run(10, "npo", 4)) == selected


def test_the_table_of_tuned_rows_rests_on_their_trials() -> None:
    without, _ = plans()
    plan, tuning = plans(methods=TUNED)
    more = {
        receipt: value
        for receipt, value in plan.receipts("scores").items()
        if receipt not in without.receipts("scores")
    }
    rules = [receipt.split("/")[2].removesuffix(".json") for receipt in more]
    counts = {rule: rules.count(rule) for rule in rules}
    assert counts == {
        **dict.fromkeys(["tuning_write_benchmark", "tuning_load_benchmark", "tuning_finetune"], 1),
        **dict.fromkeys(["tuning_split_benchmark", "tuning_train_reference", "select_settings"], 3),
        **{"tuning_predict": 4, "tuning_evaluate": 12, "tune": 24},
    }
    trial = {**NPO.wildcards("tiny-llava"), "trial": "learning_rate-0.0001-beta-0.4"}
    receipt = tuning.receipt_of("tune", trial)
    assert receipt == "results/jobs/tune/tiny-llava/forget10/npo/seed0/learning_rate-0.0001-beta-0.4.json"
    assert more[receipt] == tuning.job_hash("tune", trial)


def test_a_lost_trial_is_missed() -> None:
    _, tuning = plans()
    wildcards = NPO.wildcards("tiny-llava")
    assert set(tuning.rests_on("select_settings", wildcards)) == {
        *tuning.trial_files(NPO),
        *tuning.reference_scores(NPO),
    }
    assert set(tuning.trial_files(NPO)) <= set(tuning.rests_on("tuning"))
    assert tuning.rests_on("tune", wildcards) == []


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"benchmark": {"name": "mllmu"}}, "benchmark.name is 'mllmu'; settings are tried on people who are not"),
        ({"benchmark": {"seed": 1}}, r"tuning\.seed is 1, as is benchmark\.seed; .* expected another"),
        ({"benchmark": {"people": 251}}, "benchmark.people is 251; .* portraits of 500; expected at most 250"),
        ({"benchmark": {"celebrities": 77}}, "benchmark.celebrities is 77; .* portraits of 153; expected at most 76"),
        ({"evaluation": {"tasks": ["cloze"]}}, "combines all tasks"),
        ({"resources": {"tune": {"mem_mb": 1}}}, r"resources\.tune\.mem_mb is 1; expected at least"),
    ],
)
def test_a_search_that_cannot_be_is_refused(sections: dict[str, Any], message: str) -> None:
    check_request(plans()[1], "tuning")
    check_request(plans(benchmark={"people": 250, "celebrities": 76})[1], "tuning")
    with pytest.raises(ConfigError, match=message):
        check_request(plans(**sections)[1], "tuning")


def test_every_trial_must_fit() -> None:
    """Full copies of the weights need a larger GPU than an adapter, which is what the reported row trains."""
    grid = {"learning_rate": GRID["learning_rate"], "parameters": ["adapter", "full"]}
    sections: dict[str, Any] = {
        "cluster": {"gpu_gb": 40},
        "model": {"path": "llava-hf/llava-1.5-7b-hf", "dtype": "float16"},
        "unlearning": {"gradient_accumulation": 4, "gradient_checkpointing": True},
        "resources": {"tune": {"gpu": 1, "mem_mb": 40000}},
        "only": ["mmunlearner"],
    }
    check_request(plans(methods={"mmunlearner": {"parameters": "adapter"}}, **sections)[1], "tuning")
    with pytest.raises(ConfigError, match=r"methods\.mmunlearner needs a GPU of .* GB in rule tune"):
        check_request(plans(methods={"mmunlearner": {"tune": grid}}, **sections)[1], "tuning")


def test_there_are_so_many_portraits() -> None:
    from unsee.benchmarks.synthetic import Portraits

    portraits = Portraits()
    counts = {
        "fictitious": portraits.identities(celebrities=False),
        "celebrity": portraits.identities(celebrities=True),
    }
    assert {name: len(identities) for name, identities in counts.items()} == PORTRAITS
