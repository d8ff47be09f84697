# A locked folder is explained, and what failed is listed at the end.
from pathlib import Path

from snakemake.logging import logger

from unsee import failures, locks

# Before this call, to tell what the kernel killed during it.
KILLED = failures.oom_kills()


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


def failed():
    """Name and log of every job that failed."""
    return [
        (str(log.relative_to("results/jobs").with_suffix("")), log)
        for group in workflow.scheduler.failed
        for job in getattr(group, "jobs", [group])
        for log in map(Path, job.log)
    ]


if workflow.is_main_process:
    look_who_works()
