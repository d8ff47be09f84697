# Before the first job and after the last one: refusals, and a summary of what failed.
import time

from snakemake.logging import logger

from unsee.core import failures

# Before this call, to tell which processes the kernel killed and which logs were written during the call.
KILLED = failures.oom_kills()
BEGAN = time.time()

if snakemake_internals.is_main_process(workflow):
    if message := preflight.fetched_model_message(plan):
        logger.info(message)
    if message := preflight.lock_message(
        locked=snakemake_internals.is_locked(Path.cwd())
    ):
        logger.warning(message)
    if snakemake_internals.is_on_one_machine(workflow):
        snakemake_internals.limit_gpu_jobs(workflow, len(gpus.usable()))


onstart:
    with snakemake_internals.refusal(configuration.ConfigError):
        preflight.check(plan, snakemake_internals.jobs_to_run(workflow))
    if snakemake_internals.is_on_one_machine(workflow):
        snakemake_internals.remove_default_rate_limit(workflow)


onerror:
    failed = snakemake_internals.failed_jobs(workflow)
    kills, own_log = failures.oom_kills() - KILLED, Path(log[0]) if log else None
    snakemake_internals.log_error(
        workflow, failures.summary(failed, kills, own_log, BEGAN)
    )
