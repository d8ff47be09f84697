# Before the first job and after the last: a locked folder is explained, published files are looked at, and what failed is listed.
from pathlib import Path

from snakemake.logging import logger

from unsee import failures, locks

# Before this call, to tell what the kernel killed during it.
KILLED = failures.oom_kills()


onstart:
    check_published(job.rule.name for job in workflow.dag.needrun_jobs())
    look_for_jobs_when_one_ends()


onerror:
    print(failures.summary(failed(), failures.oom_kills() - KILLED), file=sys.stderr)


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
