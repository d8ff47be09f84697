"""Error messages of failed jobs: each names the job, the cause and the remedy.

A failing script prints the message itself (``workflow/scripts/_job.py``). A killed job cannot, so the summary at the end of a failed run
reports it from the logs.
"""

from __future__ import annotations

import errno
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_HEAD = "FAILED"
_AGAIN = "then give the same command again: finished jobs are not repeated"

#: How to use less memory with the same result, by rule.
_SMALLER = {
    "finetune": "raise finetune.gradient_accumulation, or set finetune.gradient_checkpointing: true",
    "unlearn": "set gradient_checkpointing: true, or raise gradient_accumulation of unlearning or of the method",
    "predict": "lower evaluation.batch_size",
    "pretrain_base": "lower the batches in pretraining",
}
_DISK_FULL = ("No space left on device", "Disk quota exceeded", "os error 28", "Errno 28")
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT)
_KEPT = "training and inference resume from results/checkpoints"
#: Snakemake's log line about the end of a script; the script's name ends in the name of its rule.
_ENDED = re.compile(
    r"^Command '.*?/tmp\w+\.(\w+)\.py' (?:died with <Signals\.(\w+): \d+>|returned non-zero exit status (\d+))"
)
#: The state in the message of Slurm's executor, in the block of the failed job.
_SLURM = re.compile(r"SLURM status is: '(\w+)'")


class JobError(RuntimeError):
    """A failure with a known remedy."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}; {remedy}")
        self.cause, self.remedy = cause, remedy


class DivergedError(JobError):
    """A model computes numbers that are not finite: it has diverged while it was trained, or something has destroyed it."""


class StoppedError(JobError):
    """The job received SIGTERM."""

    def __init__(self) -> None:
        super().__init__(
            "it was terminated (SIGTERM): its time limit was reached, another job preempted it, or a user cancelled it",
            "raise resources.RULE.runtime if it was the time limit, and give the same command again: it resumes from "
            "results/checkpoints",
        )


def message(job: str, rule: str, error: BaseException) -> str:
    """The message of a failed job.

    Args:
        job: the job's name.
        rule: the job's rule, which decides the configuration keys that the remedy names.
        error: the exception that ended it.
    """
    cause, remedy = explain(rule, error)
    return _block(job, cause, remedy.replace("RULE", rule))


def explain(rule: str, error: BaseException) -> tuple[str, str]:
    """Cause and remedy of an exception, or of one that it was raised from."""
    for one in _chain(error):
        text = " ".join(str(one).split())
        if isinstance(one, JobError):
            return one.cause, one.remedy
        if isinstance(one, KeyboardInterrupt):
            return "it was stopped (Ctrl-C)", f"give the same command again: {_KEPT}"
        if _is_gpu_memory(one):
            smaller = _SMALLER.get(rule, "use a smaller batch")
            return f"the GPU's memory is full ({text})", f"{smaller}, or use a GPU with more memory; {_AGAIN}"
        if isinstance(one, MemoryError) or "DefaultCPUAllocator" in text:
            smaller = f"{_SMALLER[rule]}, or " if rule in _SMALLER else ""
            return (
                f"the memory is full ({text or type(one).__name__})",
                f"{smaller}let fewer jobs run at once (--cores, or --resources mem_mb=...); {_AGAIN}",
            )
        if getattr(one, "errno", None) in _DISK_ERRORS or any(words in text for words in _DISK_FULL):
            return (
                f"the disk is full ({text})",
                f"free space on the disk of results/ (results/cache may be deleted at any time); {_AGAIN}",
            )
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}", f"see the lines above and fix the problem that they name; {_AGAIN}"


def has_diverged(error: BaseException) -> bool:
    """Whether an exception, or one that it was raised from, says that a model has diverged."""
    return any(isinstance(one, DivergedError) for one in _chain(error))


def summary(
    jobs: Iterable[tuple[str, Path]],
    oom_kills: int | None = None,
    snakemake_log: Path | None = None,
    since: float = 0,
) -> str:
    """The summary at the end of a failed run: the message of each failed job, or how it ended without one.

    Args:
        jobs: name and log of each failed job; the name begins with its rule.
        oom_kills: the number of processes that the kernel of this machine killed for lack of memory during the run, if known.
        snakemake_log: Snakemake's log of this call; it says how the jobs' scripts ended.
        since: the start of the call, in seconds since the epoch; an older log belongs to another call.
    """
    messages = []
    for job, log in sorted(jobs):
        started = log.is_file() and log.stat().st_mtime >= since
        text = log.read_text(encoding="utf-8", errors="replace") if started else ""
        _, head, rest = text.rpartition(f"{_HEAD} {job}\n")
        if head:
            messages.append(head + rest.rstrip())
        else:
            end = _end(job, log, snakemake_log)
            cause, remedy = _without_message(end, started, oom_kills)
            messages.append(_block(job, f"{cause} (log: {log})", remedy.replace("RULE", job.split("/")[0])))
    if not messages:
        return (
            "No job failed: the run was stopped (Ctrl-C, a signal), or Snakemake ended it for the reason above. Give the same "
            f"command again: finished jobs are not repeated, and {_KEPT}."
        )
    return "\n".join([f"{len(messages)} failed, the other branches continued:", *messages])


def oom_kills() -> int:
    """The number of processes that the kernel killed for lack of memory since the machine started; 0 if it is unknown."""
    counters = Path("/proc/vmstat")
    rows = counters.read_text().splitlines() if counters.is_file() else []
    return next((int(row.split()[1]) for row in rows if row.startswith("oom_kill ")), 0)


def _end(job: str, log: Path, snakemake_log: Path | None) -> str:
    """How a job's script ended: a signal, an exit status or a state of Slurm; empty if unknown."""
    if snakemake_log is None or not snakemake_log.is_file():
        return ""
    end, rule = "", job.split("/")[0]
    lines = snakemake_log.read_text(encoding="utf-8", errors="replace").splitlines()
    for i, line in enumerate(lines):
        if (match := _ENDED.match(line)) and match[1] == rule:
            end = match[2] or match[3]
        elif line.startswith(f"Error in rule {rule}:"):
            block = list(_indented(lines[i + 1 :]))
            if any(str(log) in part.split() for part in block):
                slurm = [match[1] for part in block if (match := _SLURM.search(part))]
                return slurm[0] if slurm else end
    return ""


def _indented(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("    "):
            return
        yield line


def _without_message(end: str, started: bool, kills: int | None) -> tuple[str, str]:
    """Cause and remedy of a job without a message.

    Args:
        end: how its script ended, from :func:`_end`.
        started: whether its script opened its log.
        kills: the number of processes that the kernel killed for lack of memory.
    """
    by_shell = {str(128 + number.value): number.name for number in signal.Signals}
    end = by_shell.get(end, end)
    memory = f"if it was the memory, let fewer jobs run at once or raise resources.RULE.mem_mb; {_AGAIN}, and {_KEPT}"
    if end in ("SIGKILL", "OUT_OF_MEMORY"):
        why = f"; the kernel killed {kills} processes of this machine for lack of memory meanwhile" if kills else ""
        return f"it was killed ({end}), by the system or the cluster for its memory, or by a user{why}", memory
    if end in ("SIGTERM", "TIMEOUT", "CANCELLED", "PREEMPTED"):
        return (
            f"it was terminated ({end})",
            f"raise resources.RULE.runtime if it was the time limit; {_AGAIN}, and {_KEPT}",
        )
    if end == "SIGINT":
        return "it was stopped (Ctrl-C)", f"give the same command again: {_KEPT}"
    if end in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE"):
        rebuild = "if it crashes again, rebuild the environment (delete .venv, then make setup)"
        return f"it crashed in compiled code of a library ({end})", f"see the end of its log; {_AGAIN}; {rebuild}"
    if not started:
        status = f", exit status {end}" if end else ""
        return (
            f"its script was not started, or ended before its log was opened{status}",
            f"see the output above for this job, and fix the problem; {_AGAIN}",
        )
    if end:
        return f"it ended with exit status {end} and without a message", f"see the end of its log; {_AGAIN}"
    return (
        "it ended without a message, and Snakemake does not say how: killed for its memory or time, or an output is missing",
        f"see Snakemake's own lines above and the end of its log; {memory}",
    )


def _block(job: str, cause: str, remedy: str) -> str:
    return f"{_HEAD} {job}\n  cause: {cause}\n  remedy: {remedy}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _is_gpu_memory(error: BaseException) -> bool:
    torch = sys.modules.get("torch")  # without an import of torch, the error cannot be its
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
