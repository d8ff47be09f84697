"""What gathers the results of other jobs compares their receipts: whichever is of an older job, the rule ends before it writes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.test_plan import plan
from unsee.jobs import receipts
from unsee.jobs.config import resolve
from unsee.jobs.gathering import GATHERING, jobs_behind
from unsee.jobs.plan import PARAMETERS, Plan
from unsee.jobs.runs import Run
from unsee.jobs.tuning import TuningPlan
from unsee.unlearning import catalogue

ROOT = Path(__file__).parents[2]
DATA = {"write_benchmark", "load_benchmark", "split_benchmark"}
MODELS = {"finetune", "train_reference", "unlearn"}
SCORED = DATA | MODELS | {"predict", "evaluate"}
#: The rules behind each one that gathers, by hand.
BEHIND = {
    "scores": SCORED,
    "tables": SCORED | {"scores"},
    "summary": SCORED | {"scores"},
    "trade_off": SCORED | {"scores", "rescale"},
    "robustness": SCORED | {"scores", "summary", "attack"},
    "membership": DATA | MODELS | {"write_strangers", "score_pairs"},
    "report": SCORED | {"scores", "tables", "summary", "rescale", "trade_off"},
    "report with all": SCORED
    | {"scores", "tables", "summary", "rescale", "trade_off", "attack", "robustness"}
    | {"write_strangers", "score_pairs", "membership"},
}


def small(**sections: Any) -> Plan:
    return plan(benchmark={"forget_percents": [10]}, only=["ga"], **sections)


def planned(rule: str) -> tuple[Plan, str]:
    """The plan and the rule of an entry of :data:`BEHIND`."""
    shown = {"report": rule != rule.split()[0]}
    return small(robustness=shown, membership=shown), rule.split()[0]


def write_receipts(of: Plan, rule: str) -> dict[str, str]:
    """A receipt of every job behind a rule, each with one output; returns the receipts by the rule that wrote them."""
    written = {}
    for name, wildcards in jobs_behind(of, rule):
        receipt = of.receipt_of(name, wildcards)
        output = f"results/made/{'/'.join([name, *wildcards.values()])}"
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        Path(output).write_text(name)
        made = receipts.describe(
            rule=name, job_hash=of.job_hash(name, wildcards), parameters={}, inputs=[], project=Path.cwd()
        )
        receipts.write(Path(receipt), made | {"outputs": receipts.outputs([output])})
        written[name] = receipt
    return written


@pytest.mark.parametrize("rule", BEHIND)
def test_whichever_job_is_older_is_found(rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of, name = planned(rule)
    monkeypatch.chdir(tmp_path)
    last = write_receipts(of, name)
    assert set(last) == BEHIND[rule]
    expected = of.receipts(name)
    assert set(receipts.check(expected)) == set(expected)
    for older, receipt in last.items():
        file = Path(receipt)
        content = file.read_text()
        file.write_text(content.replace(expected[receipt], "0123456789abcdef"))
        with pytest.raises(receipts.ReceiptError, match=rf"made/{older}\S*: made by other settings or code"):
            receipts.check(expected)
        file.write_text(content)


def test_every_rule_that_gathers_has_the_receipts_as_a_parameter() -> None:
    for rule in GATHERING:
        assert plan().params(rule)["receipts"]({}) == plan().receipts(rule), rule
    # Others rest on nothing but their inputs, which Snakemake compares.
    assert {rule for rule in PARAMETERS if "receipts" in plan().parameters(rule)} == set(GATHERING)


def test_measurements_are_no_results_of_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table reads how long jobs took, from files beside their logs that no receipt has."""
    monkeypatch.chdir(tmp_path)
    for file in ("results/jobs/finetune.tsv", "results/costs.csv"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text("s\n1\n")
    made = receipts.describe(
        rule="tables", job_hash="h", parameters={}, inputs=["results/jobs/finetune.tsv"], project=tmp_path
    )
    receipts.write(Path("tables.json"), made | {"outputs": receipts.outputs(["results/costs.csv"])})
    assert list(receipts.check({"tables.json": "h"})) == ["tables.json"]


def test_the_ranking_of_trials_rests_on_the_trials_of_its_method_and_ratio() -> None:
    config = dict(small().config)
    tuning = TuningPlan.of(config, resolve(config, catalogue.read()), ROOT)
    expected = tuning.params("select_settings")["receipts"](Run(10, "ga", 0).wildcards("tiny-llava"))
    rules = Counter(receipt.split("/")[2].removesuffix(".json") for receipt in expected)
    searched = {f"tuning_{rule}": 1 for rule in (*DATA, "finetune", "train_reference")}
    assert rules == {**searched, "tuning_predict": 2, "tuning_evaluate": 6, "tune": 8}
    whole = tuning.params("tuning")["receipts"]({})
    assert set(expected) < set(whole) and "results/jobs/select_settings/tiny-llava/forget10/ga/seed0.json" in whole
