"""The receipts of jobs, and which of them a rule that gathers results compares before it writes anything.

Files of several jobs are gathered by these rules. One of them may be older than the present configuration, although Snakemake finds it
new enough: copied from elsewhere, or left by a call that was told not to look at parameters. Receipts tell (:mod:`unsee.jobs.receipts`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from unsee.jobs.layout import Layout
from unsee.jobs.parameter import Wildcards
from unsee.jobs.runs import Run

#: A rule and the wildcards of one of its jobs.
Job = tuple[str, dict[str, str]]


def jobs_behind(layout: Layout, rule: str) -> Iterator[Job]:
    """Every job that the results of a rule of :data:`GATHERING` rest on, from the benchmark on; some may come twice."""
    return GATHERING[rule](layout)


def evaluated(layout: Layout, runs: Iterable[Run]) -> Iterator[Job]:
    """The jobs that ask the models of some runs, and score their answers."""
    for run in runs:
        wildcards = run.wildcards(layout.model.name)
        yield "predict", wildcards
        yield from (("evaluate", {**wildcards, "task": task}) for task in layout.tasks)


def trained(layout: Layout, runs: Iterable[Run]) -> Iterator[Job]:
    """The jobs that train the models of some runs; none for the base model."""
    for run in runs:
        if run.training_rule:
            yield run.training_rule, run.wildcards(layout.model.name)


def data(layout: Layout, percents: Iterable[int]) -> Iterator[Job]:
    """The jobs that make the base model, and the benchmark with the splits of some ratios."""
    yield from ((rule, {}) for rule in [layout.benchmark.rule, "load_benchmark", *layout.model.rules] if rule)
    yield from (("split_benchmark", {"forget_percent": str(percent)}) for percent in percents)


def _scores(layout: Layout) -> Iterator[Job]:
    yield from data(layout, layout.benchmark.forget_percents)
    yield from trained(layout, layout.trained_runs)
    yield from evaluated(layout, layout.evaluated_runs)


def _tables(layout: Layout) -> Iterator[Job]:
    yield from _scores(layout)
    yield "scores", {}


def _trade_off(layout: Layout) -> Iterator[Job]:
    yield from _tables(layout)
    yield from (("rescale", run.wildcards(layout.model.name)) for run in layout.rescaled_runs)


def _robustness(layout: Layout) -> Iterator[Job]:
    yield from _tables(layout)
    yield "summary", {}
    for run in layout.attacked_runs:
        yield from (("attack", {**run.wildcards(layout.model.name), "attack": name}) for name in layout.attacks)


def _membership(layout: Layout) -> Iterator[Job]:
    yield from data(layout, layout.membership_percents)
    if not layout.benchmark.held_out:
        yield "write_strangers", {}
    yield from trained(layout, layout.membership_runs)
    yield from (("score_pairs", run.wildcards(layout.model.name)) for run in layout.membership_runs)


def _report(layout: Layout) -> Iterator[Job]:
    yield from _trade_off(layout)
    yield from ((rule, {}) for rule in ("tables", "summary", "trade_off"))
    for rule in layout.reported_on_request:
        yield from jobs_behind(layout, rule)
        yield rule, {}


#: The rules that gather, and the jobs behind them; those of the search are in :mod:`unsee.jobs.tuning`.
GATHERING: dict[str, Callable[[Layout], Iterator[Job]]] = {
    "scores": _scores,
    "tables": _tables,
    "summary": _tables,
    "trade_off": _trade_off,
    "robustness": _robustness,
    "membership": _membership,
    "report": _report,
}


class Gathering(Layout):
    """A layout whose jobs have receipts."""

    @abstractmethod
    def job_hash(self, rule: str, wildcards: Wildcards) -> str:
        """The hash of the job of these wildcards, see :func:`unsee.jobs.job_hash.job_hash`."""

    @staticmethod
    def receipt(rule: str, name: str = "") -> str:
        """The receipt of a job, which lies beside its log; ``name`` is the log's below the rule's folder."""
        return f"results/jobs/{'/'.join(filter(None, [rule, name]))}.json"

    def receipt_of(self, rule: str, wildcards: Wildcards) -> str:
        """The receipt of the job of these wildcards."""
        if "method" in wildcards:
            folders = [
                self.run_path(Run.of(wildcards)),
                *(wildcards[key] for key in ("task", "trial", "attack") if key in wildcards),
            ]
            return self.receipt(rule, "/".join(folders))
        percent = wildcards.get("forget_percent")
        return self.receipt(rule, f"forget{percent}" if percent else "")

    def receipts(self, rule: str) -> dict[str, str]:
        """The receipt of every job that the results of a rule that gathers rest on, and the hash that the job has today."""
        return self.receipts_of(jobs_behind(self, rule))

    def receipts_of(self, jobs: Iterable[Job]) -> dict[str, str]:
        """The receipt of each job, and the hash that the job has today."""
        return {self.receipt_of(self.rule_of(rule), wildcards): self._hash(rule, wildcards) for rule, wildcards in jobs}

    def rule_of(self, rule: str) -> str:
        """The name in the workflow of a rule of this plan."""
        return rule

    def _hash(self, rule: str, wildcards: Mapping[str, str]) -> str:
        """:meth:`job_hash`, computed once a plan."""
        key = (rule, *sorted(wildcards.items()))
        if key not in self._hashes:
            self._hashes[key] = self.job_hash(rule, wildcards)
        return self._hashes[key]

    @cached_property
    def _hashes(self) -> dict[tuple[Any, ...], str]:
        return {}
