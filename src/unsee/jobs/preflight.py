"""What is checked and said between planning and the first job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from unsee.core import disk, locks
from unsee.jobs.config import ConfigError
from unsee.jobs.plan import Plan
from unsee.jobs.runs import Run

#: The file that a call of Snakemake locks while it works.
RUNNING = Path(".snakemake/running")


Jobs = Sequence[tuple[str, Mapping[str, str]]]


def check(plan: Plan, jobs: Jobs) -> None:
    """Refuse to begin what cannot be finished.

    Args:
        plan: the plan.
        jobs: rule and wildcards of the jobs that are going to run.

    Raises:
        ConfigError: published files are damaged, results cannot be written, or the disk will be full before the end.
    """
    from unsee.benchmarks.schema import BenchmarkError  # imports pyarrow, which planning does without

    try:
        _check_benchmark(plan, {rule for rule, _ in jobs})
        _check_room(plan, jobs)
    except (BenchmarkError, disk.RoomError) as error:
        raise ConfigError(str(error)) from None


def _check_benchmark(plan: Plan, rules: set[str]) -> None:
    """Read a published benchmark once before it is loaded, because a job that fails has deleted its old tables by then."""
    from unsee.benchmarks import held_out  # as above

    benchmark = plan.benchmark
    if benchmark.rule is None and {"load_benchmark", "split_benchmark"} & rules:
        held_out.load(benchmark.name, Path(str(benchmark.folder)), benchmark.ratios_to_check, **benchmark.held_out)


def _check_room(plan: Plan, jobs: Jobs) -> None:
    checkpoint = disk.local(plan.model.spec["path"])
    adapters = []
    for rule, wildcards in jobs:
        if rule in ("finetune", "train_reference", "unlearn"):
            settings = plan.settings_of(Run.of(wildcards)) if rule == "unlearn" else plan.config["finetune"]
            if rule == "unlearn" and not plan.entries[wildcards["method"]].method.needs.training:
                continue  # gates and texts take next to nothing
            lora = settings.get("lora", {})
            adapters.append(disk.adapter_bytes(checkpoint, lora.get("rank", 8), lora.get("scope", "language")))
    sizes = {f"{len(adapters)} adapters": sum(adapters)}
    if adapters and plan.benchmark.name == "synthetic" and not Path("results/cache").exists():
        people = plan.config["benchmark"]["people"] + plan.config["benchmark"]["celebrities"]
        sizes["features of pictures"] = people * disk.picture_bytes(checkpoint)
    disk.check(Path("results"), sizes)


def fetched_model_message(plan: Plan) -> str | None:
    """A path that is no folder is taken for the name of a published checkpoint; it may be a typing error, so say so."""
    if not plan.model.is_fetched or Path(plan.model.spec["record"]).exists():
        return None
    path, root = plan.config["model"]["path"], plan.root.resolve()
    return f"model.path {path} is no folder in {root}: it is fetched from the Hugging Face hub."


def lock_message(*, locked: bool) -> str | None:
    """Why Snakemake is about to find this folder locked: another call is at work, or one was killed.

    Args:
        locked: whether Snakemake's own locks are there. They say nothing about the process that took them; a lock that dies
            with its process does.
    """
    folder = Path.cwd()
    try:
        locks.hold(RUNNING, wait=False)
    except BlockingIOError:
        if locked:
            return f"Another call of Snakemake is at work in {folder}. Give this command again when it is done."
        return None
    if locked:
        return (
            f"A call of Snakemake that was killed has left its lock in {folder}. If none is at work there from "
            "another machine, add --unlock to this command, then give it again without: it goes on where it was."
        )
    return None
