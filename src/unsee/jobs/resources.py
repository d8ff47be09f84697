"""The resources of a job: what the configuration says of its rule, by the names that Snakemake and its executors know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def resources_of(config: Mapping[str, Any], rule: str) -> dict[str, Any]:
    """The resources of a rule's jobs: ``resources.default`` overlaid by the rule's own entry, if it has one."""
    return {**config["resources"]["default"], **config["resources"].get(rule, {})}


def by_executor(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Memory, time, GPUs and queues of a job, each under the name that an executor (also of Slurm or LSF) reads.

    The time grows with every attempt: a job that was stopped for taking too long gets more. A value of null is left out.

    Args:
        entry: the sections ``cluster`` and ``resources`` of the configuration, for one rule.
    """
    gpu, model, minutes = entry["gpu"], entry["gpu_model"], entry["runtime"]
    resources = {
        "mem_mb": entry["mem_mb"],
        "gpu": gpu,
        "runtime": lambda wildcards, attempt: minutes * attempt,
        "gpu_model": model if gpu else None,
        "slurm_partition": entry["partition"],
        "slurm_account": entry["account"],
        "qos": entry["qos"],
        "lsf_queue": entry["partition"],
        "lsf_project": entry["account"],
        "lsf_extra": f"-gpu num={gpu}{f':gmodel={model}' if model else ''}" if gpu else None,
    }
    return {name: value for name, value in resources.items() if value is not None}
