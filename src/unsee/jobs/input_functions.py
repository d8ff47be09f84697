"""The input functions of the rules: what a job's inputs are once its wildcards are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsee.jobs import receipts, requests, snakemake_internals
from unsee.jobs.config import ConfigError
from unsee.jobs.plan import Plan
from unsee.jobs.runs import Run

#: Snakemake calls an input function with the job's wildcards.
InputFunction = Callable[[Any], str | Sequence[str]]


@dataclass(frozen=True)
class InputFunctions:
    """The input functions of one workflow."""

    workflow: Any
    plan: Plan

    def per_run(self, files: Callable[[Run], Sequence[str]]) -> InputFunction:
        """The files of the run that the wildcards name."""
        return lambda wildcards: files(Run.of(dict(wildcards.items())))

    def per_ratio(self, files: Callable[[int], Sequence[str]]) -> InputFunction:
        """The files of the forget ratio that the wildcards name."""
        return lambda wildcards: files(int(wildcards.forget_percent))

    def on_request(self, rule: str, files: str | Sequence[str]) -> InputFunction:
        """A file or several, if the configuration allows the rule; otherwise the reason ends the call."""

        def check(wildcards: Any) -> str | Sequence[str]:
            with snakemake_internals.refusal(ConfigError):
                requests.check_request(self.plan, rule)
            return files

        return check

    def rerun_if_damaged(self, rule: str) -> InputFunction:
        """No file; but a job whose outputs are not as it left them is made to run again.

        Snakemake reruns a job when an output is missing or older than an input. It does not notice an output that was
        truncated or edited, nor that a file is gone on which an existing table rests (deleted, or lost by a job that
        failed). Such jobs are forced here. A parameter could do that too, but it would be recorded, and the job would run once
        more.
        """
        rule_name = snakemake_internals.names_of_rules(self.workflow)(rule)

        def check(wildcards: Any) -> Sequence[str]:
            values = dict(wildcards.items())
            with snakemake_internals.refusal(ConfigError):
                requests.check_model_name(self.plan, values)
            outputs = snakemake_internals.outputs(self.workflow, rule_name, values)
            damaged = receipts.damaged_outputs(Path(self.plan.receipt_of(rule, values)), outputs)
            needed = self.plan.rests_on(rule, values)
            if any(Path(file).exists() for file in outputs) and not all(Path(file).exists() for file in needed):
                damaged = outputs
            snakemake_internals.force(self.workflow, damaged)
            return []

        return check
