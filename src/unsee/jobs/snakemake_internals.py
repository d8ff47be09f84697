"""Everything that the workflow takes from the inside of Snakemake, which may change with any release.

Each function has a test against the installed Snakemake (``tests/jobs/test_snakemake_internals.py``) that fails when Snakemake
renames or removes what the function uses. Written for Snakemake 9.27.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.enums import Quietness

#: The default of --max-jobs-per-timespan: 100 jobs in 1 second.
DEFAULT_RATE_LIMIT = (100, 1)
#: The locks of a folder in which Snakemake works, below that folder.
LOCKS = ".snakemake/locks"


@contextmanager
def refusal(*errors: type[Exception]) -> Iterator[None]:
    """Turn errors of planning into the one that Snakemake prints without a traceback."""
    try:
        yield
    except errors as error:
        raise WorkflowError(f"Nothing was run.\n{error}") from None


def quote_interpreter() -> None:
    """Quote the path of Python, which Snakemake puts unquoted into the command line of every job."""
    if os.path.exists(sys.executable):
        sys.executable = shlex.quote(sys.executable)


def is_module_with_config(workflow: Any) -> bool:
    """Whether another workflow's ``module:`` reads this one and gives it a configuration instead of its own file."""
    return bool(workflow.modifier.skip_configfile)


def refuse_prefix(workflow: Any) -> None:
    """Refuse a module with ``prefix``: scripts, receipts and plan name files below ``results/``.

    Raises:
        WorkflowError: the module has a prefix.
    """
    paths = workflow.modifier.path_modifier
    if paths.prefix is not None or paths.modifies_prefixes:
        raise WorkflowError(
            "module: has a prefix; expected none: results lie in results/ of the working folder; use --directory for another place"
        )


def config_files(workflow: Any, project: Path, config: Mapping[str, Any]) -> list[Path]:
    """The configuration files, the project's own first, the one on top last.

    Args:
        workflow: Snakemake's workflow, while it is read.
        project: the folder of the project's own config.yaml.
        config: the configuration as Snakemake merged it. A module may be given a part of its caller's: then the caller's files do not
            have its keys, and are left out.
    """
    of_command_line = len(workflow.overwrite_configfiles or [])
    files = [Path(file) for file in workflow.configfiles]
    in_order = files[of_command_line:] + files[:of_command_line]  # Snakemake lists those of the command line first
    if not is_module_with_config(workflow):
        return in_order
    of_caller = workflow.modifier_stack[0].globals["config"]
    return [project / "config.yaml", *(in_order if config is of_caller else [])]


def config_of_command_line(workflow: Any) -> Mapping[str, Any]:
    """What ``--config`` set."""
    settings: Mapping[str, Any] = workflow.config_settings.config
    return settings


def is_main_process(workflow: Any) -> bool:
    """Whether this process plans the run; otherwise it runs one job."""
    return bool(workflow.is_main_process)


def is_on_one_machine(workflow: Any) -> bool:
    """Whether jobs run on this machine and not on a cluster, whose number of nodes ``--jobs`` limits."""
    return workflow.nodes is None


def limit_gpu_jobs(workflow: Any, gpus: int) -> None:
    """Run only as many jobs at a time as have a GPU each; a limit on the command line has precedence."""
    if gpus and "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", gpus)


def names_of_rules(workflow: Any) -> Callable[[str], str]:
    """The function from a rule's name in this workflow to its name in the whole one: ``use rule * from m as m_*`` changes it.

    Args:
        workflow: Snakemake's workflow, while this workflow is read.
    """
    name: Callable[[str], str] = workflow.modifier.modify_rulename
    return name


def outputs(workflow: Any, rule: str, wildcards: Mapping[str, str]) -> list[str]:
    """The output files of the job of these wildcards; the rule has its name in the whole workflow."""
    return [str(output.apply_wildcards(wildcards)) for output in workflow.get_rule(rule).output]


def force(workflow: Any, files: Iterable[str]) -> None:
    """Run the jobs that make these files, as ``--forcerun`` does. To be called while jobs are looked for."""
    workflow.dag.forcefiles.update(files)


def jobs_to_run(workflow: Any) -> list[tuple[str, dict[str, str]]]:
    """Rule and wildcards of every job that is going to run."""
    return [(job.rule.name, dict(job.wildcards.items())) for job in workflow.dag.needrun_jobs()]


def remove_default_rate_limit(workflow: Any) -> None:
    """Remove Snakemake's default limit of jobs a second.

    The limit starts one chain of polling for each finished job; after a hundred jobs polling takes 20 % of a core.
    """
    limit = workflow.scheduler.job_rate_limiter
    if limit is not None and (limit.max_jobs, limit.timespan) == DEFAULT_RATE_LIMIT:
        workflow.scheduler.job_rate_limiter = None


def failed_jobs(workflow: Any) -> list[tuple[str, Path]]:
    """Name and log of every job that failed; the name is the log's path below ``results/jobs`` without its suffix."""
    logs = [
        Path(log) for group in workflow.scheduler.failed for job in getattr(group, "jobs", [group]) for log in job.log
    ]
    return [(str(log.with_suffix("")).removeprefix("results/jobs/"), log) for log in logs]


def log_error(workflow: Any, text: str) -> None:
    """Print an error through Snakemake's logger: below the lines that still wait there, and into its log.

    ``--quiet all`` silences the logger, errors too; then the error is printed directly.
    """
    if Quietness.ALL in (workflow.output_settings.quiet or ()):
        print(text, file=sys.stderr)
    else:
        logger.error(text)


def is_locked(folder: Path) -> bool:
    """Whether a call of Snakemake is at work in a folder, or was killed there."""
    return any((folder / LOCKS).glob("*.lock"))
