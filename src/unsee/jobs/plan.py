"""The parameters, receipts and resources of every rule's jobs under one configuration.

The rules (``workflow/rules/*.smk``) name what is computed here. Nothing here imports Snakemake or torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from unsee.benchmarks.published import REPOSITORIES
from unsee.core.sources import digests
from unsee.evaluation.metrics import UTILITY
from unsee.evaluation.settings import Stage, settings_of
from unsee.jobs import receipts
from unsee.jobs.config import plain
from unsee.jobs.gathering import Gathering
from unsee.jobs.job_hash import job_hash
from unsee.jobs.parameter import Parameter, PerAttack, PerTask, Wildcards, value_for
from unsee.jobs.resources import by_executor, resources_of
from unsee.jobs.runs import Run
from unsee.jobs.values import for_ratios
from unsee.training.settings import DIVISION

#: Rules whose jobs run the script of another rule.
SCRIPTS = {"train_reference": "finetune"}
#: Keys of the section ``benchmark`` that decide what is written; ``apart_from`` is of the search alone.
WRITTEN = ("people", "celebrities", "seed", "apart_from")
#: Rules whose tables say what the ratio of a named request means, and who is held out.
REMARKED = ("tables", "summary", "trade_off", "robustness", "membership", "report")
#: Sections of the configuration that depend on the machine and change no result.
MACHINE = ("checkpoint", "cluster", "resources", "shared_models")


@dataclass(frozen=True, eq=False)
class Plan(Gathering):
    """The workflow under one configuration.

    Attributes:
        tuning: the plan of the search for the settings that are ``tuned``; None in that plan itself.
    """

    tuning: Plan | None = None

    def params(self, rule: str) -> dict[str, Callable[[Wildcards], Any]]:
        """The parameters of a rule's jobs by name, each a function of the wildcards, and the ``job_hash`` of them all.

        Snakemake runs a job again when its parameters differ from those that its outputs were made with. So everything in
        configuration and code that decides the outputs is a parameter.
        """

        def function(name: str) -> Callable[[Wildcards], Any]:
            return lambda wildcards: self._values(rule, _mapping(wildcards))[name]

        functions = {name: function(name) for name in ["code", *self.parameters(rule)]}
        return functions | {"job_hash": lambda wildcards: self.job_hash(rule, _mapping(wildcards))}

    def job_hash(self, rule: str, wildcards: Wildcards) -> str:
        """The hash of the job of these wildcards, see :func:`unsee.jobs.job_hash.job_hash`."""
        return job_hash(rule, wildcards, self._values(rule, wildcards))

    def _values(self, rule: str, wildcards: Wildcards) -> dict[str, Any]:
        """The parameters of the job of these wildcards."""
        script = self.root / f"workflow/scripts/{SCRIPTS.get(rule, rule)}.py"
        parameters = {"code": _code(script, self.root / "src/unsee")} | self.parameters(rule)
        return {name: value_for(parameter, wildcards) for name, parameter in parameters.items()}

    def parameters(self, rule: str) -> dict[str, Parameter]:
        """What the jobs of a rule are made of, besides their code and their inputs."""
        more = {"people_note": self.people_note} if rule in REMARKED else {}
        return PARAMETERS[rule](self) | more

    def settings_of(self, run: Run) -> dict[str, Any]:
        """The settings of an unlearning run; what the search finds is still ``tuned``."""
        return self.entries[run.method].at(run.forget_percent).settings

    def selected_files(self, run: Run) -> list[str]:
        """The file of what the search found for a run; none for a run whose settings are all set."""
        return self.tuning.selected_files(run) if self.tuning and self.entries[run.method].is_tuned else []

    def method_code(self, run: Run) -> list[str]:
        """The file of a run's method and what it imports of the library, each with the digest of its code."""
        return _code(self.entries[run.method].method.source, self.root / "src/unsee")

    def task_code(self, task: str) -> list[str]:
        """The module that scores a task and what it imports of the library, each with the digest of its code."""
        library = self.root / "src/unsee"
        return _code(library / f"evaluation/tasks/{task}.py", library)

    def attack_code(self, attack: str) -> list[str]:
        """The file of an entry's attack and what it imports of the library, each with the digest of its code."""
        return _code(self.attacks[attack].attack.source, self.root / "src/unsee")

    def division(self, attack: str) -> dict[str, Any]:
        """How an attack that trains divides a step: as unlearning does; nothing for other attacks."""
        trains = self.attacks[attack].attack.trains
        return {key: self.config["unlearning"][key] for key in DIVISION} if trains else {}

    def protocol_settings(self, task: str | None = None, stage: Stage | None = None) -> dict[str, Any]:
        """The evaluation's protocol and those of its settings that concern a task and a stage; by default all."""
        keys = settings_of(self.protocol, task, stage)
        return {key: self.config["evaluation"][key] for key in ("protocol", *keys)}

    def scoring_settings(self, task: str) -> dict[str, Any]:
        """The protocol and the settings that change how the answers to a task are scored."""
        return self.protocol_settings(task, "scores")

    def pretraining_settings(self) -> dict[str, Any]:
        """The settings of the base model's pretraining; the files that it reads are inputs."""
        settings: dict[str, Any] = plain(self.config["pretraining"])
        return {key: value for key, value in settings.items() if key not in ("bystanders", "language_model")}

    def styles(self) -> dict[str, list[str]]:
        """Label, colour and marker of every method of the table."""
        methods = {entry.method.name: entry.method for entry in self.entries.values()}
        return {name: [method.label, method.colour, method.marker] for name, method in sorted(methods.items())}

    def sees(self) -> dict[str, dict[int, str]]:
        """What each row of ``methods`` reads at each ratio, see :meth:`unsee.unlearning.method.Needs.sees`."""
        percents = self.benchmark.forget_percents
        return {
            name: {percent: entry.method.needs.sees(entry.at(percent).settings) for percent in percents}
            for name, entry in self.entries.items()
        }

    def table_configuration(self) -> Any:
        """The part of the configuration that decides the table, for the table's manifest."""
        keys = ["benchmark", "model", "seeds", "finetune", "evaluation"]
        keys += ["pretraining"] if self.model.is_built else []
        methods = {
            name: {
                "method": entry.method.name,
                "settings": for_ratios(entry.settings, self.config["benchmark"]["forget_percents"]),
            }
            for name, entry in self.entries.items()
        }
        shown = plain({key: self.config[key] for key in keys} | {"methods": methods})
        del shown["evaluation"]["batch_size"]
        return receipts.portable(shown)

    def report_configuration(self) -> str:
        """The configuration as YAML, without what depends on the machine."""
        kept = {key: value for key, value in self.config.items() if key not in MACHINE}
        return yaml.safe_dump(receipts.portable(plain(kept)), sort_keys=True, allow_unicode=True)

    def receipts(self, rule: str) -> dict[str, str]:
        """The receipts behind the results of a rule that gathers, with those of the search for settings that are ``tuned``."""
        return super().receipts(rule) | (self.tuning.tuned_receipts if self.tuning else {})

    @property
    def tuned_receipts(self) -> dict[str, str]:
        """The receipts of the search, in its own plan (:class:`unsee.jobs.tuning.TuningPlan`)."""
        return {}

    # Resources

    def threads_of(self, rule: str) -> int:
        """The number of threads of a rule's jobs."""
        return int(resources_of(self.config, rule)["threads"])

    def resources_of(self, rule: str) -> dict[str, Any]:
        """The other resources of a rule's jobs, see :func:`unsee.jobs.resources.by_executor`."""
        return by_executor({**self.config["cluster"], **resources_of(self.config, rule)})


@cache
def _code(script: Path, library: Path) -> list[str]:
    """A script and what it imports of the library, each with the digest of its code; computed once a plan."""
    return digests(script, library)


def _mapping(wildcards: Any) -> dict[str, str]:
    """Snakemake's wildcards, a list with names, as a dictionary."""
    return dict(wildcards.items())


def _training(plan: Plan) -> dict[str, Parameter]:
    return {"family_code": plan.model.code, "model": plan.model.spec, "settings": plain(plan.config["finetune"])}


#: What the jobs of each rule are made of, besides their code and their inputs.
PARAMETERS: dict[str, Callable[[Plan], dict[str, Parameter]]] = {
    "write_benchmark": lambda plan: {
        "settings": {key: plan.benchmark.section[key] for key in WRITTEN if key in plan.benchmark.section},
    },
    "fetch_benchmark": lambda plan: {
        "repository": REPOSITORIES.get(plan.benchmark.name),
        "revision": plan.config["benchmark"]["revision"],
        "patterns": plan.benchmark.patterns,
    },
    "load_benchmark": lambda plan: {
        "name": plan.benchmark.name,
        "folder": plan.benchmark.folder,
        "forget_percents": plan.benchmark.ratios_of_tables,
        "held_out": plan.benchmark.held_out,
    },
    "split_benchmark": lambda plan: {
        "name": plan.benchmark.name,
        "folder": plan.benchmark.folder,
        "seed": plan.benchmark.section["seed"] if plan.benchmark.draws_splits else None,
        "forget": plan.benchmark.request,
    },
    "convert_language_model": lambda plan: {},
    "pretrain_base": lambda plan: {
        "family": plan.config["model"]["family"],
        "settings": plan.pretraining_settings(),
    },
    "fetch_model": lambda plan: {
        "repository": plan.config["model"]["path"],
        "revision": plan.config["model"]["revision"],
        "family": plan.config["model"]["family"],
    },
    "finetune": _training,
    "train_reference": _training,
    "unlearn": lambda plan: {
        "method_code": plan.method_code,
        "family_code": plan.model.code,
        "model": plan.model.spec,
        "vanilla": plan.vanilla,
        "reference": plan.reference,
        "method": lambda run: plan.entries[run.method].method.name,
        "settings": plan.settings_of,
    },
    "predict": lambda plan: {
        "family_code": plan.model.code,
        "model": plan.model.spec,
        "adapters": plan.adapters,
        "forget_percents": plan.evaluated_percents,
        "settings": plan.protocol_settings(stage="answers") | {"tasks": plan.tasks},
    },
    "evaluate": lambda plan: {
        "task_code": PerTask(plan.task_code),
        "settings": PerTask(plan.scoring_settings),
    },
    "anchor_check": lambda plan: {
        "figures": plain(plan.config["anchor"]),
    },
    "rescale": lambda plan: {
        "family_code": plan.model.code,
        "model": plan.model.spec,
        "adapters": plan.adapters,
        "scales": sorted(plan.config["trade_off"]["scales"]),
        "others": plan.config["trade_off"]["others"],
        # Those that the utility of a model is computed from, which is all that the other people are evaluated for there.
        "tasks_of_others": [task for task in plan.tasks if task in {task for task, _ in UTILITY}],
        "settings": plan.protocol_settings(stage="answers") | {"tasks": plan.tasks},
    },
    "attack": lambda plan: {
        "attack_code": PerAttack(plan.attack_code),
        "family_code": plan.model.code,
        "model": plan.model.spec,
        "adapters": plan.adapters,
        "attack": PerAttack(lambda name: plan.attacks[name].attack.name),
        "options": PerAttack(lambda name: plan.attacks[name].options),
        "division": PerAttack(plan.division),
        "settings": plan.protocol_settings(stage="answers") | {"tasks": plan.tasks},
    },
    "write_strangers": lambda plan: {
        "settings": {key: plan.config["benchmark"][key] for key in ("people", "seed")} | {"strangers": plan.strangers},
    },
    "score_pairs": lambda plan: {
        "family_code": plan.model.code,
        "model": plan.model.spec,
        "adapters": plan.adapters,
        "forget_percents": plan.percents_of_members,
        "k_percent": plan.config["membership"]["k_percent"],
    },
    "membership": lambda plan: {
        "receipts": plan.receipts("membership"),
        "sees": plan.sees(),
        "styles": plan.styles(),
        "model": plan.model.name,
        "runs": [tuple(run) for run in plan.membership_runs],
        "methods": list(plan.entries),
        "forget_percents": plan.membership_percents,
    },
    "trade_off": lambda plan: {
        "receipts": plan.receipts("trade_off"),
        "runs": [tuple(run) for run in plan.rescaled_runs],
        "methods": plan.scaled_methods,
        "sees": plan.sees(),
        "styles": plan.styles(),
        "utility": plan.config["trade_off"]["utility"],
        "settings": plan.protocol_settings(stage="scores"),
    },
    "robustness": lambda plan: {
        "receipts": plan.receipts("robustness"),
        "sees": plan.sees(),
        "runs": [tuple(run) for run in plan.attacked_runs],
        "methods": list(plan.entries),
        "attacks": {name: entry.attack.label for name, entry in plan.attacks.items()},
        "styles": plan.styles(),
        "utility": plan.config["robustness"]["utility"],
        "settings": plan.protocol_settings(stage="scores"),
    },
    "scores": lambda plan: {
        "receipts": plan.receipts("scores"),
        "model": plan.model.name,
        "runs": [tuple(run) for run in plan.evaluated_runs],
        "forget_percents": plan.benchmark.forget_percents,
        "interval": plan.config["interval"],
        "settings": plan.protocol_settings(),
        "tasks": plan.tasks,
    },
    "tables": lambda plan: {
        "receipts": plan.receipts("tables"),
        "model": plan.model.name,
        "runs": [tuple(run) for run in plan.trained_runs],
        "methods": list(plan.entries),
        "sees": plan.sees(),
        "forget_percents": plan.benchmark.forget_percents,
        "configuration": plan.table_configuration(),
    },
    "summary": lambda plan: {
        "receipts": plan.receipts("summary"),
        "styles": plan.styles(),
        "methods": list(plan.entries),
        "sees": plan.sees(),
    },
    "report": lambda plan: {
        "receipts": plan.receipts("report"),
        "runs": [tuple(run) for run in plan.runs],
        "trained_runs": [tuple(run) for run in plan.trained_runs],
        "styles": plan.styles(),
        "configuration": plan.report_configuration(),
        "utility": plan.config["trade_off"]["utility"],
    },
}
