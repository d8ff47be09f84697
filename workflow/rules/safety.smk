# Before the first job and after the last: a locked folder is explained, published files are looked at, and what failed is listed.
import time
from pathlib import Path

from snakemake.logging import logger

from unsee.core import failures, locks, disk

# Before this call, to tell what the kernel killed and which logs were written during it.
KILLED = failures.oom_kills()
BEGAN = time.time()


onstart:
    check_published(job.rule.name for job in workflow.dag.needrun_jobs())
    check_room(workflow.dag.needrun_jobs())
    look_for_jobs_when_one_ends()


onerror:
    kills, own_log = failures.oom_kills() - KILLED, Path(log[0]) if log else None
    print(failures.summary(failed(), kills, own_log, BEGAN), file=sys.stderr)


def check_room(jobs):
    """Refuse to begin where results cannot be written, or a disk that will be full before the end."""
    base = disk.local(model()["path"])
    settings = {"finetune": lambda job: config["finetune"]}
    settings["unlearn"] = lambda job: ENTRIES[job.wildcards.method].settings
    adapters = [
        disk.adapter_bytes(base, lora.get("rank", 8), lora.get("scope", "language"))
        for job in jobs
        if job.rule.name in settings
        for lora in [settings[job.rule.name](job).get("lora", {})]
    ]
    sizes = {f"{len(adapters)} adapters": sum(adapters)}
    if (
        adapters
        and config["benchmark"]["name"] == "synthetic"
        and not exists("results/cache")
    ):
        people = config["benchmark"]["people"] + config["benchmark"]["celebrities"]
        sizes["features of pictures"] = people * disk.picture_bytes(base)
    try:
        disk.check(Path("results"), sizes)
    except disk.RoomError as error:
        raise WorkflowError(f"Nothing was run.\n{error}") from None


def look_who_works():
    """Say why Snakemake is about to find this folder locked, for it cannot know."""
    locked = any(Path(".snakemake/locks").glob("*.lock"))
    try:
        locks.hold(Path(".snakemake/running"), wait=False)
    except BlockingIOError:
        if locked:
            logger.warning(
                f"Another call of Snakemake is at work in {os.getcwd()}. Give this command again when it is done."
            )
    else:
        if locked:
            logger.warning(
                f"A call of Snakemake that was killed has left its lock in {os.getcwd()}. If none is at work there from "
                "another machine, add --unlock to this command, then give it again without: it goes on where it was."
            )


def look_for_jobs_when_one_ends():
    """Take away the limit of jobs a second, which nobody asked for, where there is one machine.

    For its sake Snakemake (9.27) looks for jobs to start once more a second after every look, in a chain of its own for each job that
    has ended: after a hundred jobs the looks take a fifth of a core.
    """
    limit = getattr(workflow.scheduler, "job_rate_limiter", None)
    if (
        workflow.nodes is None
        and limit
        and (limit.max_jobs, limit.timespan) == (100, 1)
    ):
        workflow.scheduler.job_rate_limiter = None


def failed():
    """Name and log of every job that failed."""
    return [
        (str(log.relative_to("results/jobs").with_suffix("")), log)
        for group in workflow.scheduler.failed
        for job in getattr(group, "jobs", [group])
        for log in map(Path, job.log)
    ]


def say_what_is_fetched():
    """A path that is no folder is taken for the name of a published checkpoint: say so, for it may be a typing error."""
    record = model().get("record")
    if record and not exists(record):
        logger.info(
            f"model.path {config['model']['path']} is no folder in {ROOT.resolve()}: it is fetched from the Hugging Face hub."
        )


if workflow.is_main_process:
    say_what_is_fetched()
    look_who_works()
