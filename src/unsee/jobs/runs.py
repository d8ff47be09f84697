"""The runs of the table: which models are trained, evaluated and compared, and where their files lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: The folder of a run below ``results/models`` and ``results/jobs/{rule}``, as Snakemake's rules name it.
RUN = "{model}/forget{forget_percent}/{method}/seed{seed}"
#: The rows of the table that are no unlearning method, and the rule that trains each; the base model is not trained.
REFERENCES = {"base": None, "vanilla": "finetune", "retain": "train_reference"}


class Run(NamedTuple):
    """One model of the table.

    Attributes:
        forget_percent: the forget ratio in percent; 0 for the base model and vanilla, which forget no one.
        method: the name of the row: ``base``, ``vanilla``, ``retain`` or an entry of ``methods``.
        seed: the seed of the training.
    """

    forget_percent: int
    method: str
    seed: int

    @classmethod
    def of(cls, wildcards: Mapping[str, str]) -> Run:
        """The run that the wildcards of a job name."""
        return cls(int(wildcards["forget_percent"]), wildcards["method"], int(wildcards["seed"]))

    def wildcards(self, model: str) -> dict[str, str]:
        """The wildcards of a job of this run."""
        return {
            "model": model,
            "forget_percent": str(self.forget_percent),
            "method": self.method,
            "seed": str(self.seed),
        }

    @property
    def training_rule(self) -> str | None:
        """The rule that trains this run's adapter; None for the base model, which has none."""
        return REFERENCES.get(self.method, "unlearn")


def table_runs(forget_percents: Sequence[int], methods: Sequence[str], seeds: Sequence[int]) -> list[Run]:
    """Every model of the table in the order of its rows, seed by seed.

    Args:
        forget_percents: the forget ratios in percent.
        methods: the names of the unlearning rows.
        seeds: the seeds.
    """
    return [
        run
        for seed in seeds
        for run in [
            Run(0, "base", seed),
            Run(0, "vanilla", seed),
            *(Run(percent, method, seed) for percent in forget_percents for method in ["retain", *methods]),
        ]
    ]


def evaluated_runs(runs: Sequence[Run], forget_percents: Sequence[int], *, prompts_depend_on_ratio: bool) -> list[Run]:
    """The runs as they are evaluated: base and vanilla once, or at each ratio if prompts depend on the ratio.

    Args:
        runs: as :func:`table_runs` gives them.
        forget_percents: the forget ratios in percent.
        prompts_depend_on_ratio: true for the published protocols, whose examples are drawn from the ratio's sets.
    """
    if not prompts_depend_on_ratio:
        return list(runs)
    return [
        Run(percent, run.method, run.seed)
        for run in runs
        for percent in ([run.forget_percent] if run.forget_percent else forget_percents)
    ]
