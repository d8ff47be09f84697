"""The runs of the table and the files of each: what they read, where their results lie, what the tables are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from unsee.evaluation.settings import TASKS
from unsee.jobs import forget_request
from unsee.jobs.config import AttackEntry, Entry
from unsee.jobs.input_files import BenchmarkFiles, ModelFiles
from unsee.jobs.runs import RUN, Run, evaluated_runs, table_runs

#: The figures of the report, see :mod:`unsee.results.page.write_report`.
FIGURES = ("agreement", "costs", "modalities", "portraits", "ratios", "trade_off", "training")
#: The tables that the report shows.
REPORT_TABLES = [
    f"results/{name}.csv"
    for name in (
        *("scores", "scores_over_seeds", "summary", "table3", "differences", "modalities", "knowledge"),
        *("costs", "dataset_statistics", "ranking"),
    )
]
#: Strangers for each forgotten person, and the fewest. More strangers narrow the intervals little: the forgotten people are few.
STRANGERS_PER_PERSON, FEWEST_STRANGERS = 3, 20
#: The task of the answers that are compared with a known figure.
ANCHOR_TASK = "generation"
#: The figures of models under attack.
ROBUSTNESS_FIGURES = ("robustness", "relearning")
ADAPTER = ("adapter/adapter_config.json", "adapter/adapter_model.safetensors")


@dataclass(frozen=True, eq=False)
class Layout:
    """The runs and files of one configuration.

    Attributes:
        config: a configuration that :func:`unsee.jobs.config_checks.check` has passed.
        entries: its unlearning rows by name, see :func:`unsee.jobs.config.resolve`.
        root: the project's folder as seen from the working directory.
        config_files: the files that were merged, the project's own first.
        attacks: its attacks by name, see :func:`unsee.jobs.config.resolve_attacks`.
    """

    #: The folder of everything but the jobs' logs and receipts.
    results: ClassVar[str] = "results"

    config: Mapping[str, Any]
    entries: Mapping[str, Entry]
    root: Path
    config_files: Sequence[Path] = ()
    attacks: Mapping[str, AttackEntry] = field(default_factory=dict)

    @property
    def protocol(self) -> str:
        """The name of the evaluation's protocol."""
        return str(self.config["evaluation"]["protocol"])

    @property
    def tasks(self) -> list[str]:
        """The evaluated tasks, in the order of :data:`unsee.evaluation.settings.TASKS`."""
        return [task for task in TASKS if task in self.config["evaluation"]["tasks"]]

    # Files

    @cached_property
    def benchmark(self) -> BenchmarkFiles:
        """The files of the benchmark."""
        return BenchmarkFiles(self.config["benchmark"], self.root, f"{self.results}/benchmark")

    @cached_property
    def model(self) -> ModelFiles:
        """The files of the base model."""
        return ModelFiles(self.config["model"], self.config["pretraining"], self.root)

    @property
    def people_note(self) -> str:
        """What the tables say about the people: what the ratio of a named request means, and who is held out; mostly empty."""
        request = forget_request.note(self.config["benchmark"], self.root)
        return " ".join(filter(None, [request, self.benchmark.held_out_note]))

    @property
    def portraits(self) -> str:
        """The portraits of the synthetic benchmark's people."""
        return str(self.root / "src/unsee/data/portraits.parquet")

    @property
    def page_files(self) -> list[str]:
        """The template, styles and scripts of the report."""
        folder = self.root / "src/unsee/data/report"
        return sorted(str(path) for path in folder.rglob("*") if path.is_file())

    def files(self, runs: Iterable[Run], *names: str) -> list[str]:
        """The files of these names of every run."""
        return [f"{self.results}/models/{self.run_path(run)}/{name}" for run in runs for name in names]

    @property
    def predictions(self) -> list[str]:
        """The answers of a run, one file per task, below the run's folder."""
        return [f"predictions/{task}.parquet" for task in self.tasks]

    @property
    def scores(self) -> list[str]:
        """The scores of a run's answers, one file per task, below the run's folder."""
        return [f"scores/{task}.parquet" for task in self.tasks]

    def run_path(self, run: Run) -> str:
        """A run's folder below ``results/models`` and ``results/jobs/{rule}``."""
        return RUN.format(**run.wildcards(self.model.name))

    # Runs

    @cached_property
    def runs(self) -> list[Run]:
        """Every model of the table."""
        return table_runs(self.config["benchmark"]["forget_percents"], list(self.entries), self.config["seeds"])

    @property
    def trained_runs(self) -> list[Run]:
        """Every run but those of the base model."""
        return [run for run in self.runs if run.training_rule]

    @cached_property
    def evaluated_runs(self) -> list[Run]:
        """Every run as it is evaluated, see :func:`unsee.jobs.runs.evaluated_runs`."""
        percents = self.config["benchmark"]["forget_percents"]
        return evaluated_runs(self.runs, percents, prompts_depend_on_ratio=self.protocol != "unsee")

    @property
    def scaled_methods(self) -> list[str]:
        """The unlearning rows with models between vanilla and theirs: those of the trade-off."""
        return [name for name, entry in self.entries.items() if entry.method.needs.scaled]

    @property
    def rescaled_runs(self) -> list[Run]:
        """The unlearned models that are evaluated at other scales than 1 too."""
        return [run for run in self.runs if run.method in self.scaled_methods and self.config["trade_off"]["scales"]]

    @property
    def attacked_runs(self) -> list[Run]:
        """The models that are attacked: every unlearned and retain-only model of the ratios, and vanilla at each ratio."""
        percents = self.config["robustness"]["forget_percents"] or self.benchmark.forget_percents
        methods = ["vanilla", "retain", *self.entries]
        return [Run(*run) for run in product(percents, methods, self.config["seeds"])]

    def attack_files(self, runs: Iterable[Run]) -> list[str]:
        """The answers of these runs under each attack."""
        return self.files(runs, *(f"attacks/{name}.parquet" for name in self.attacks))

    @property
    def membership_percents(self) -> list[int]:
        """The ratios whose forgotten people are compared with strangers."""
        return sorted(self.config["membership"]["forget_percents"] or self.benchmark.forget_percents)

    @property
    def membership_runs(self) -> list[Run]:
        """The runs that score training pairs."""
        return [run for run in self.runs if run.forget_percent in (0, *self.membership_percents)]

    @property
    def membership_splits(self) -> list[str]:
        """The splits of these ratios."""
        return self.benchmark.split_files(self.membership_percents)

    @property
    def strangers(self) -> int:
        """How many strangers of the synthetic benchmark the forgotten people are compared with: as many at every ratio."""
        if self.config["membership"]["strangers"]:
            return int(self.config["membership"]["strangers"])
        people = int(self.config["benchmark"]["people"])
        forgotten = len(self.benchmark.request or []) or max(
            round(people * percent / 100) for percent in self.membership_percents
        )
        return max(FEWEST_STRANGERS, STRANGERS_PER_PERSON * forgotten)

    @property
    def anchor_predictions(self) -> str:
        """The answers of the base model whose score is compared with a known figure."""
        run = Run(self.config["anchor"]["forget_percent"], "base", self.config["seeds"][0])
        return self.files([run], f"predictions/{ANCHOR_TASK}.parquet")[0]

    @property
    def method_pattern(self) -> str:
        """A regular expression of the names of the unlearning rows."""
        return "|".join(self.entries) or "no method"

    @property
    def attacked_pattern(self) -> str:
        """A regular expression of the names of the models that are attacked."""
        return "|".join(["vanilla", "retain", *self.entries])

    @property
    def attack_pattern(self) -> str:
        """A regular expression of the names of the attacks."""
        return "|".join(self.attacks) or "no attack"

    # What a run needs of other runs

    def training_splits(self, run: Run) -> list[str]:
        """The splits that a run is trained by: none for vanilla, which learns everyone."""
        return self.benchmark.split_files([run.forget_percent] if run.forget_percent else [])

    def evaluated_percents(self, run: Run) -> list[int]:
        """The ratios whose questions a run answers: its own, or all for base and vanilla."""
        return [run.forget_percent] if run.forget_percent else self.benchmark.forget_percents

    def evaluation_splits(self, run: Run) -> list[str]:
        """The splits of these ratios."""
        return self.benchmark.split_files(self.evaluated_percents(run))

    def percents_of_members(self, run: Run) -> list[int]:
        """The ratios whose forgotten people's training pairs a run scores: the run's, or all of them for base and vanilla."""
        return [run.forget_percent] if run.forget_percent else self.membership_percents

    def splits_of_members(self, run: Run) -> list[str]:
        """The splits of these ratios."""
        return self.benchmark.split_files(self.percents_of_members(run))

    def adapter(self, run: Run) -> str:
        """The folder of a run's adapter."""
        return f"{self.results}/models/{self.run_path(run)}/adapter"

    def vanilla(self, run: Run) -> str:
        """The adapter that a run's unlearning starts from."""
        return self.adapter(Run(0, "vanilla", run.seed))

    def reference(self, run: Run) -> str | None:
        """The adapter of the model that a run's method is compared with while it trains; None if it needs none."""
        entry = self.entries[run.method].at(run.forget_percent)
        if entry.method.needs.reference != "retain_only":
            return None
        if entry.settings.get("reference_model") == "vanilla":
            return self.vanilla(run)
        return self.adapter(Run(run.forget_percent, "retain", run.seed))

    def adapters(self, run: Run) -> list[str]:
        """The adapters that make a run's model, in the order in which they are put on the base."""
        if run.method == "base":
            return []
        if run.method == "vanilla":
            return [self.vanilla(run)]
        return [self.vanilla(run), self.adapter(run)] if run.method in self.entries else [self.adapter(run)]

    def vanilla_files(self, run: Run) -> list[str]:
        """The files of the adapter that a run's unlearning starts from."""
        return _adapter_files([self.vanilla(run)])

    def reference_files(self, run: Run) -> list[str]:
        """The files of the reference's adapter."""
        folder = self.reference(run)
        return _adapter_files([folder] if folder else [])

    def alternative_files(self, run: Run) -> list[str]:
        """The file of the alternative answers, if the run's method takes any."""
        needed = self.entries[run.method].method.needs.alternative != "none"
        return [str(self.root / "src/unsee/data/refusals.txt")] if needed else []

    def adapter_files(self, run: Run) -> list[str]:
        """The files of the adapters that make a run's model."""
        return _adapter_files(self.adapters(run))

    # What the tables are made of

    @property
    def training_times(self) -> list[str]:
        """Snakemake's measurement of every training job."""
        return [f"results/jobs/{run.training_rule}/{self.run_path(run)}.tsv" for run in self.trained_runs]

    @property
    def reported_on_request(self) -> list[str]:
        """The rules whose tables the report shows only if the configuration says so, and which it does say."""
        return [rule for rule in ("robustness", "membership") if self.config[rule]["report"]]

    @property
    def report_tables(self) -> list[str]:
        """The tables that the report shows."""
        return [*REPORT_TABLES, *(f"results/{rule}.csv" for rule in self.reported_on_request)]

    @property
    def robustness_figures(self) -> list[str]:
        """The figures of models under attack that the report shows, if the configuration says so."""
        names = ROBUSTNESS_FIGURES if self.config["robustness"]["report"] else ()
        return [f"results/figures/{name}.svg" for name in names]

    @cached_property
    def parts(self) -> list[str]:
        """Every file that the scores rest on, from the benchmark to the scores of single answers."""
        trained = self.files(self.trained_runs, *ADAPTER, "metrics.parquet", "manifest.json")
        evaluated = self.files(self.evaluated_runs, *self.predictions, *self.scores)
        return [*self.benchmark.tables, *self.benchmark.splits, *trained, *evaluated]

    def rests_on(self, rule: str, wildcards: Mapping[str, str] | None = None) -> list[str]:
        """The files without which the results of a rule that gathers are worth nothing; none for other rules."""
        more = {
            "scores": [],
            "tables": ["results/scores.csv", "results/scores.parquet", *self.training_times],
            "summary": ["results/scores.csv", "results/scores.parquet"],
            "trade_off": ["results/scores.parquet"],
            "robustness": [
                *("results/scores.parquet", "results/summary.csv"),
                *self.attack_files(self.attacked_runs),
            ],
            "report": ["results/scores.parquet", *self.report_tables],
        }
        if rule == "membership":
            return [*self.pairs_to_score, *(file for run in self.membership_runs for file in self.adapter_files(run))]
        return [*self.parts, *more[rule]] if rule in more else []

    @property
    def pairs_to_score(self) -> list[str]:
        """The training pairs of forgotten people and of strangers, and who is forgotten."""
        files = [*self.benchmark.tables, *self.benchmark.strangers, *self.membership_splits]
        return [*files, *self.files(self.membership_runs, "membership.parquet")]


def figure_files(names: Iterable[str]) -> list[str]:
    """The files of the figures of these names."""
    return [f"results/figures/{name}.{suffix}" for name in names for suffix in ("pdf", "svg", "png")]


def _adapter_files(folders: Iterable[str]) -> list[str]:
    return [str(Path(folder).parent / name) for folder in folders for name in ADAPTER]
