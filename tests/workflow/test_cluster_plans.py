"""What jobs ask a cluster for, by dry runs; that a cluster hands it out is shown in tests/cluster."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OVERLAY = """
cluster: {partition: long, account: lab, qos: low, gpu_model: a100}
resources:
  load_benchmark: {partition: short, qos: null}
  unlearn: {threads: 4, mem_mb: 32000, runtime: 720, gpu: 2, gpu_model: h100}
  predict: {gpu: 1}
"""
TARGET = "results/models/tiny-llava/forget5/ga/seed0/predictions/cloze.parquet"


def resources_in(text: str, rule: str) -> dict[str, str]:
    """The resources of a rule's first job in the plan."""
    job = re.search(rf"^(?:local)?rule {rule}:\n((?:    .*\n)+)", text, re.MULTILINE)
    assert job is not None, text
    resources = re.search(r"^    resources: (.*)", job[1], re.MULTILINE)
    assert resources is not None, job[1]
    return dict(part.split("=", 1) for part in resources[1].split(", "))


@pytest.mark.parametrize("scheduler", ["slurm", "lsf"])
def test_jobs_ask_for_what_the_configuration_says(plan: Callable[..., Any], root: Path, scheduler: str) -> None:
    outcome = plan(OVERLAY, TARGET, "--profile", str(root / "profiles" / scheduler))
    assert outcome.code == 0, outcome.text
    load, unlearn, predict = (resources_in(outcome.text, rule) for rule in ("load_benchmark", "unlearn", "predict"))
    assert (unlearn["mem_mb"], unlearn["runtime"], unlearn["gpu"]) == ("32000", "720", "2")
    if scheduler == "slurm":
        names = ("slurm_partition", "slurm_account", "qos", "gpu_model")
        assert [unlearn[name] for name in names] == ["long", "lab", "low", "h100"]
        assert [predict[name] for name in names] == ["long", "lab", "low", "a100"]
        assert [load.get(name) for name in names] == ["short", "lab", None, None]
    else:
        names = ("lsf_queue", "lsf_project", "lsf_extra")
        assert [unlearn[name] for name in names] == ["long", "lab", "-gpu num=2:gmodel=h100"]
        assert [predict[name] for name in names] == ["long", "lab", "-gpu num=1:gmodel=a100"]
        assert [load.get(name) for name in names] == ["short", "lab", None]


def test_by_default_nothing_is_asked_of_a_cluster(plan: Callable[..., Any]) -> None:
    outcome = plan("resources: {unlearn: {gpu: 1}}", TARGET)
    assert set(resources_in(outcome.text, "load_benchmark")) == {"tmpdir", "gpu", "runtime", "mem_mb", "mem", "mem_mib"}
    assert "slurm" not in str(resources_in(outcome.text, "unlearn"))


def test_the_page_leads_to_22_models(plan: Callable[..., Any], root: Path, tmp_path: Path) -> None:
    """docs/cluster.md's own file over the presets that it names."""
    page = (root / "docs" / "cluster.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (cluster_settings,), (several,) = (
        [block for block in blocks if key in block] for key in ("partition:", "num_processes:")
    )
    (tmp_path / "cluster.yaml").write_text(cluster_settings)
    (tmp_path / "several.yaml").write_text(several)
    command = page.partition("--dry-run")[0].rpartition("snakemake ")[2]
    presets = [root / name for name in re.findall(r"presets/[\w.-]+\.yaml", command)]
    assert len(presets) == 2
    profile = ["--profile", str(root / "profiles" / "slurm")]
    outcome = plan("", "results/table3.csv", *profile, over=[*presets, tmp_path / "cluster.yaml"])
    assert outcome.code == 0, outcome.text
    assert sum(outcome.jobs[rule] for rule in ("finetune", "train_reference", "unlearn")) == 22
    load, unlearn = (resources_in(outcome.text, rule) for rule in ("load_benchmark", "unlearn"))
    assert (load["slurm_partition"], unlearn["slurm_partition"]) == ("cpu", "gpu")
    assert resources_in(outcome.text, "finetune")["gpu"] == resources_in(outcome.text, "train_reference")["gpu"] == "1"

    files = [*presets, tmp_path / "cluster.yaml", tmp_path / "several.yaml"]
    outcome = plan("", "results/table3.csv", *profile, over=files)
    assert outcome.code == 0, outcome.text
    gpus = [resources_in(outcome.text, rule)["gpu"] for rule in ("finetune", "train_reference", "unlearn")]
    assert gpus == ["4", "4", "1"]


def test_only_what_takes_long_is_submitted(root: Path) -> None:
    """What needs a network runs beside Snakemake too, for the nodes of many clusters have none."""
    (beside,) = re.findall(r"^localrules:\n((?:    \w+,\n)+)", (root / "Snakefile").read_text(), re.MULTILINE)
    rules = set(re.findall(r"\w+", beside))
    assert {"fetch_benchmark", "fetch_model", "evaluate", "scores", "tables"} <= rules
    assert not {"pretrain_base", "finetune", "train_reference", "unlearn", "predict"} & rules
