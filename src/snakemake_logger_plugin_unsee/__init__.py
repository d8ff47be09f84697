"""Snakemake's output as one line a job: ``snakemake --logger unsee``, which ``make table`` uses.

On a terminal a bar stands below the lines. Errors, warnings and everything else look as Snakemake prints them, and so does the
whole output of a dry run, with ``--verbose``, ``--printshellcmds`` or ``--debug-dag``. The log in .snakemake/log is not affected.
Snakemake finds this package by its name, and imports it whenever it starts, before it reads a Snakefile. So nothing here imports the
library: the Snakefile would then find that of the environment in place of its own clone's.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from tqdm import tqdm

from snakemake_logger_plugin_unsee.progress import RunProgress, job_name

#: Beginnings of Snakemake's messages about itself that tell a user nothing.
_NOISE = (
    "Assuming unrestricted shared filesystem",
    "Using shell:",
    "Select jobs to execute",
    "Conda environments: ignored",
    "Singularity containers: ignored",
    "Group jobs: inactive",
    "Elapsed time:",
)
#: Events that the lines and the bar show instead.
_REPLACED = (
    *(LogEvent.JOB_INFO, LogEvent.JOB_STARTED, LogEvent.JOB_FINISHED, LogEvent.PROGRESS, LogEvent.SHELLCMD),
    *(LogEvent.RUN_INFO, LogEvent.RESOURCES_INFO, LogEvent.WORKFLOW_STARTED),
)


class LogHandler(LogHandlerBase):
    """One line for each job, and a bar on a terminal."""

    def __post_init__(self) -> None:
        settings = self.common_settings
        stream = sys.stdout if settings.stdout else sys.stderr
        self._text = ColorizingTextHandler(bool(settings.nocolor or os.environ.get("NO_COLOR")), stream)
        self._text.setFormatter(DefaultFormatter(settings.quiet, settings.show_failed_logs))
        self._as_snakemake = bool(settings.dryrun or settings.verbose or settings.printshellcmds or settings.debug_dag)
        self._progress: RunProgress | None = None
        self._bar: tqdm[Any] | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Print what a record says, above the bar."""
        if self._as_snakemake:
            self._text.emit(record)
            return
        try:
            with self._lock:
                self._show(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Remove the bar."""
        self._ended.set()
        with self._lock:
            if self._bar is not None:
                self._bar.close()
                self._bar = None
        super().close()

    def _show(self, record: logging.LogRecord) -> None:
        event, fields, now = getattr(record, "event", None), vars(record), record.created
        if event == LogEvent.RUN_INFO:
            self._begin(fields["stats"])
        progress, line = self._progress, ""
        if progress is not None and event == LogEvent.JOB_INFO:
            name = job_name(fields["rule_name"], fields["log"], fields["wildcards"])
            progress.start(fields["jobid"], fields["rule_name"], name, now)
        elif progress is not None and event == LogEvent.JOB_FINISHED:
            line = progress.finish(fields["job_id"], now)
        elif progress is not None and event == LogEvent.JOB_ERROR:
            line = progress.fail(fields["jobid"], now)
        shown = event not in _REPLACED and not str(record.msg).startswith(_NOISE)
        if self._bar is not None and (line or shown):
            self._bar.clear()
        if line:
            self._print(line)
        if shown:
            self._text.emit(record)
        self._draw(now)

    def _begin(self, stats: dict[str, int]) -> None:
        """Count the jobs, and show the bar if anybody watches."""
        self._progress = RunProgress({rule: count for rule, count in stats.items() if rule != "total"})
        self._print(f"{self._progress.total} jobs to run; the log of each is below results/jobs")
        if self._text.is_tty and self._bar is None:
            self._bar = tqdm(
                total=self._progress.total,
                file=self._text.stream,
                bar_format="{n_fmt}/{total_fmt} |{bar:20}| {desc}",
                dynamic_ncols=True,
                leave=False,
            )
            threading.Thread(target=self._tick, daemon=True).start()

    def _print(self, line: str) -> None:
        print(line, file=self._text.stream, flush=True)

    def _draw(self, now: float) -> None:
        if self._bar is not None and self._progress is not None:
            self._bar.n = self._progress.done
            self._bar.set_description_str(self._progress.status(now))

    def _tick(self) -> None:
        """Draw the bar once a second."""
        while not self._ended.wait(1):
            with self._lock:
                self._draw(time.time())

    @property
    def writes_to_stream(self) -> bool:
        """It replaces Snakemake's own handler."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """The file in .snakemake/log is Snakemake's."""
        return False

    @property
    def has_filter(self) -> bool:
        """Snakemake's filter is used, which honours --quiet."""
        return False

    @property
    def has_formatter(self) -> bool:
        """Messages have Snakemake's format, set here."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False
