"""Snakemake by processes that have it imported already: imports are half the time of a plan."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
# Nothing of the library: tests plan with edited copies of it.
_CONTEXT.set_forkserver_preload(["snakemake.cli", "pandas", "jsonschema", "snakemake_executor_plugin_slurm"])


def snakemake(arguments: Sequence[str], environment: Mapping[str, str], log: Path, python: Path) -> int:
    """Run Snakemake's command line in a new process, as ``python -m snakemake`` does.

    Args:
        arguments: of the command line.
        environment: all variables of the process.
        log: the file that takes what it prints.
        python: the program that runs its jobs' scripts.

    Returns:
        Its exit code.
    """
    process = _CONTEXT.Process(target=_run, args=(list(arguments), dict(environment), str(log), str(python)))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _run(arguments: list[str], environment: dict[str, str], log: str, python: str) -> None:
    """The new process."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.clear()
    os.environ.update(environment)
    # What Python itself does with PYTHONPATH when it starts.
    sys.path[:0] = [folder for folder in environment.get("PYTHONPATH", "").split(os.pathsep) if folder]
    sys.argv, sys.executable = ["snakemake", *arguments], python
    from snakemake import cli

    assert not {"unsee", "torch"} & set(sys.modules), (
        "what is loaded already would hide that planning loads it, or loads another copy"
    )
    cli.main()
