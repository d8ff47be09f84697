"""The search of the methods' settings: the same rules for people who are not reported, and the trials of each method and ratio.

``results/tuning`` holds a benchmark of its own, with other people, pictures, facts and splits, the vanilla and the retain-only models
of these people, and one file of scores for each trial. Rules that the reported benchmark has too are called ``tuning_{rule}`` there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from unsee.jobs.config import Entry
from unsee.jobs.gathering import Job, data, evaluated, trained
from unsee.jobs.parameter import Parameter, PerTrial
from unsee.jobs.plan import Plan
from unsee.jobs.runs import Run


class TuningPlan(Plan):
    """The plan of the search under one configuration."""

    results: ClassVar[str] = "results/tuning"

    @classmethod
    def of(
        cls, config: Mapping[str, Any], entries: Mapping[str, Entry], root: Path, config_files: Sequence[Path] = ()
    ) -> TuningPlan:
        """The plan of the search for the settings of these entries; arguments as for :class:`unsee.jobs.layout.Layout`.

        Trials have one seed, the first.
        """
        benchmark = config["benchmark"]
        benchmark = {**benchmark, "seed": config["tuning"]["seed"], "apart_from": benchmark["seed"], "forget": None}
        return cls({**config, "benchmark": benchmark, "seeds": config["seeds"][:1]}, entries, root, config_files)

    def parameters(self, rule: str) -> dict[str, Parameter]:
        """What the jobs of a rule are made of, besides their code and their inputs."""
        return PARAMETERS[rule](self) if rule in PARAMETERS else super().parameters(rule)

    # Files

    @property
    def searched_runs(self) -> list[Run]:
        """Every ratio and method, each searched by itself."""
        return [run for run in self.runs if run.method in self.entries]

    def trial_files(self, run: Run) -> list[str]:
        """The scores of every trial of a run."""
        trials = self.entries[run.method].trials(run.forget_percent)
        return [f"{self.results}/trials/{self.run_path(run)}/{name}.parquet" for name in trials]

    def reference_scores(self, run: Run) -> list[str]:
        """The scores of vanilla and of the retain-only model, which the trials of a run are compared with."""
        return self.files(self._references(run), *self.scores)

    def ranked_files(self, runs: Sequence[Run]) -> list[str]:
        """The trials of these runs, ranked."""
        return [f"{self.results}/selected/{self.run_path(run)}.csv" for run in runs]

    def selected_files(self, run: Run) -> list[str]:
        """The file of the best trial of a run's method and ratio; it is the same for every seed."""
        first = Run(run.forget_percent, run.method, self.config["seeds"][0])
        return [f"{self.results}/selected/{self.run_path(first)}.json"]

    def rests_on(self, rule: str, wildcards: Mapping[str, str] | None = None) -> list[str]:
        """The files without which the results of a rule that gathers are worth nothing; none for other rules."""
        if rule == "select_settings":
            run = Run.of(wildcards or {})
            return [*self.trial_files(run), *self.reference_scores(run)]
        if rule == "tuning":
            return [file for run in self.searched_runs for file in (*self.ranked_files([run]), *self.trial_files(run))]
        return []

    # Receipts

    @cached_property
    def tuned_receipts(self) -> dict[str, str]:
        """The receipt of every job that the settings of the tuned entries rest on, and the hash that the job has today."""
        return self.receipts_of_runs([run for run in self.searched_runs if self.entries[run.method].is_tuned])

    def receipts_of_runs(self, runs: Sequence[Run]) -> dict[str, str]:
        """The same for every job that the search for the settings of some runs rests on; none without runs."""
        return self.receipts_of(
            job for run in runs for job in (*self._trials(run), ("select_settings", run.wildcards(self.model.name)))
        )

    def receipts_of_trials(self, run: Run) -> dict[str, str]:
        """The same for every job that the ranking of a run's trials rests on."""
        return self.receipts_of(self._trials(run))

    def rule_of(self, rule: str) -> str:
        """The name in the workflow of a rule of this plan: there the rules that the reported people have too are called otherwise."""
        return rule if rule in PARAMETERS or rule in self.model.rules else f"tuning_{rule}"

    def _trials(self, run: Run) -> Iterator[Job]:
        """Every job that the ranking of a run's trials rests on."""
        yield from data(self, self.benchmark.forget_percents)
        yield from trained(self, self._references(run))
        yield from evaluated(self, self._references(run))
        for trial in self.entries[run.method].trials(run.forget_percent):
            yield "tune", {**run.wildcards(self.model.name), "trial": trial}

    @staticmethod
    def _references(run: Run) -> list[Run]:
        return [Run(0, "vanilla", run.seed), Run(run.forget_percent, "retain", run.seed)]

    # Parameters

    def trial_settings(self, run: Run, trial: str) -> dict[str, Any]:
        """The settings of one trial."""
        return self.entries[run.method].trials(run.forget_percent)[trial].settings

    def trials_see(self, run: Run) -> dict[str, str]:
        """What each trial of a run reads besides vanilla, by the trial's name."""
        entry = self.entries[run.method]
        return {name: entry.method.needs.sees(t.settings) for name, t in entry.trials(run.forget_percent).items()}

    def trial_values(self, run: Run) -> dict[str, dict[str, Any]]:
        """The values that each trial of a run tries, by the trial's name."""
        entry = self.entries[run.method]
        trials = entry.trials(run.forget_percent)
        return {name: {key: trial.settings[key] for key in entry.grid} for name, trial in trials.items()}


#: What the jobs of the rules are made of that the search alone has, as in :data:`unsee.jobs.plan.PARAMETERS`.
PARAMETERS: dict[str, Callable[[TuningPlan], dict[str, Parameter]]] = {
    "tune": lambda plan: {
        "method_code": plan.method_code,
        "task_code": [plan.task_code(task) for task in plan.tasks],
        "family_code": plan.model.code,
        "model": plan.model.spec,
        "vanilla": plan.vanilla,
        "reference": plan.reference,
        "method": lambda run: plan.entries[run.method].method.name,
        "settings": PerTrial(plan.trial_settings),
        "evaluation": plan.protocol_settings() | {"tasks": plan.tasks},
    },
    "select_settings": lambda plan: {
        "sees": plan.trials_see,
        "receipts": plan.receipts_of_trials,
        "trials": plan.trial_values,
        "settings": plan.protocol_settings(),
        "tasks": plan.tasks,
    },
    "tuning": lambda plan: {
        "receipts": plan.receipts_of_runs(plan.searched_runs),
        "runs": [tuple(run) for run in plan.searched_runs],
    },
}
