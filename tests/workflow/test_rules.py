"""Every rule says what it writes, how long it took, what it takes and where it runs; tools find nothing to mend."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from unsee.jobs import tuning
from unsee.jobs.plan import PARAMETERS, SCRIPTS, Plan

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
RULES = {
    name: body
    for file in sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    for name, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", file.read_text(), re.MULTILINE)
}


def test_the_rules_are_found() -> None:
    assert {"write_benchmark", "finetune", "unlearn", "predict", "evaluate", "tables"} <= set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_complete(rule: str) -> None:
    body = RULES[rule]
    directives = set(re.findall(r"^    (\w+):", body, re.MULTILINE))
    needed = {"input", "output", "log", "benchmark", "conda", "threads", "resources", "script"}
    assert needed <= directives
    assert f'plan.threads_of("{rule}")' in body
    assert f'plan.resources_of("{rule}")' in body
    assert f'plan.params("{rule}")' in body
    assert f'inputs.rerun_if_damaged("{rule}")' in body
    assert '"../../envs/unsee.yaml"' in body
    assert f'"../scripts/{SCRIPTS.get(rule, rule)}.py"' in body


def test_every_rule_has_parameters_and_no_other() -> None:
    assert set(PARAMETERS) | set(tuning.PARAMETERS) == set(RULES)


@pytest.mark.parametrize("rule", [rule for rule, body in RULES.items() if "results/models/{RUN}" not in body])
def test_a_file_made_of_every_run_does_not_outlive_what_it_rests_on(rule: str) -> None:
    inputs = RULES[rule].split("output:")[0]
    if "plan.files(" in inputs or "results/scores." in inputs:
        assert Plan(CONFIG, {}, ROOT).rests_on(rule)


@pytest.mark.parametrize("rule", RULES)
def test_a_script_is_thin(rule: str) -> None:
    lines = (ROOT / "workflow" / "scripts" / f"{SCRIPTS.get(rule, rule)}.py").read_text().splitlines()
    assert len(lines) <= 32
    assert any(line.removeprefix("parts = ").startswith("_job.start(snakemake)") for line in lines)
    assert lines[-1].startswith("_job.done(snakemake")


def test_every_rule_has_resources_by_default() -> None:
    assert set(CONFIG["resources"]) <= {"default", *RULES}
    plan = Plan(CONFIG, {}, ROOT)
    for rule in RULES:
        assert plan.threads_of(rule) >= 1
        assert {"gpu", "mem_mb", "runtime"} <= set(plan.resources_of(rule))


def test_every_key_has_its_comment() -> None:
    lines = (ROOT / "config.yaml").read_text().splitlines()
    assert not [line for line in lines if re.match(r" *\w+:", line) and " # " not in line]


def test_the_snakefile_is_a_table_of_contents() -> None:
    assert len((ROOT / "Snakefile").read_text().splitlines()) < 80


def test_snakefmt_finds_nothing_to_change() -> None:
    command = [str(Path(sys.executable).with_name("snakefmt")), "--check", "Snakefile", "workflow"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_snakemakes_linter_finds_nothing(checkpoint: Path) -> None:
    model = f"model={{path: '{checkpoint}'}}"
    command = [sys.executable, "-m", "snakemake", "--lint", "--config", model]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
