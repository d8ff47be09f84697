"""What went wrong with a job, in one message that names the job, the cause and the remedy.

A job's script ends with it (``workflow/scripts/job.py``); a job that was killed cannot, and is spoken for by the summary
that a failed run ends with.
"""

from __future__ import annotations

import errno
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_HEAD = "FAILED"
_AGAIN = "then give the same command again: what is finished is not done again"

#: Less memory, same result, by rule.
_SMALLER = {
    "finetune": "raise finetune.gradient_accumulation, or set finetune.gradient_checkpointing: true",
    "unlearn": "set gradient_checkpointing: true, or raise gradient_accumulation of unlearning or of the method",
    "predict": "lower evaluation.batch_size",
    "pretrain_base": "lower the batches in pretraining",
}
_DISK_FULL = ("No space left on device", "Disk quota exceeded", "os error 28", "Errno 28")
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT)
_KEPT = "training and asking go on from what was kept in results/checkpoints"
#: How Snakemake's log says that a script ended; the script's name ends in that of its rule.
_ENDED = re.compile(
    r"^Command '.*?/tmp\w+\.(\w+)\.py' (?:died with <Signals\.(\w+): \d+>|returned non-zero exit status (\d+))"
)
#: How the executor for Slurm says it, in the block of the job that has failed.
_SLURM = re.compile(r"SLURM status is: '(\w+)'")


class JobError(RuntimeError):
    """A failure that knows its remedy."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}; {remedy}")
        self.cause, self.remedy = cause, remedy


class StoppedError(JobError):
    """The job was asked to end."""

    def __init__(self) -> None:
        super().__init__(
            "it was told to end (SIGTERM): its time was up, another job took its place, or somebody cancelled it",
            "raise resources.RULE.runtime if it was the time, and give the same command again: it goes on from "
            "what it has kept in results/checkpoints",
        )


def message(job: str, rule: str, error: BaseException) -> str:
    """The one message of a job that failed.

    Args:
        job: its name.
        rule: the rule it is of, for the keys of the configuration that matter.
        error: what ended it.
    """
    cause, remedy = explain(rule, error)
    return _block(job, cause, remedy.replace("RULE", rule))


def explain(rule: str, error: BaseException) -> tuple[str, str]:
    """(cause, remedy) of an error, or of the one that it was raised from."""
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
                f"make room where results/ lies (results/cache may be deleted at any time); {_AGAIN}",
            )
    known = " ".join(str(error).split())
    return f"{type(error).__name__}: {known}", f"see the lines above and mend what they name; {_AGAIN}"


def summary(
    jobs: Iterable[tuple[str, Path]],
    oom_kills: int | None = None,
    snakemake_log: Path | None = None,
    since: float = 0,
) -> str:
    """What a run that failed ends with: each failed job's message, or how it ended without one.

    Args:
        jobs: name and log of each failed job; the name begins with its rule.
        oom_kills: how many processes the kernel killed for memory on this machine meanwhile, if that is known.
        snakemake_log: of this call; it says how the jobs' scripts ended.
        since: when the call began, in seconds since the epoch; an older log is of another call.
    """
    messages = []
    for job, log in sorted(jobs):
        started = log.is_file() and log.stat().st_mtime >= since
        text = log.read_text(encoding="utf-8", errors="replace") if started else ""
        _, head, said = text.rpartition(f"{_HEAD} {job}\n")
        if head:
            messages.append(head + said.rstrip())
        else:
            end = _end(job, log, snakemake_log)
            cause, remedy = _without_message(end, started, oom_kills)
            messages.append(_block(job, f"{cause} (log: {log})", remedy.replace("RULE", job.split("/")[0])))
    if not messages:
        return (
            "No job failed: the run was stopped (Ctrl-C, a signal), or Snakemake has ended it for the reason above. Give the same "
            f"command again: what is finished is not done again, and {_KEPT}."
        )
    return "\n".join([f"{len(messages)} failed, the others went on:", *messages])


def oom_kills() -> int:
    """How many processes this machine's kernel has killed for want of memory since it was started; 0 if it does not say."""
    counters = Path("/proc/vmstat")
    rows = counters.read_text().splitlines() if counters.is_file() else []
    return next((int(row.split()[1]) for row in rows if row.startswith("oom_kill ")), 0)


def _end(job: str, log: Path, snakemake_log: Path | None) -> str:
    """How a job's script ended: a signal's name, an exit status, a state of Slurm; empty where that is not known."""
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
    """(cause, remedy) of a job that has left no message.

    Args:
        end: as :func:`_end` gives it.
        started: whether its script got as far as its log.
        kills: of the kernel, for memory.
    """
    by_shell = {str(128 + number.value): number.name for number in signal.Signals}
    end = by_shell.get(end, end)
    memory = f"if it was the memory, let fewer jobs run at once or raise resources.RULE.mem_mb; {_AGAIN}, and {_KEPT}"
    if end in ("SIGKILL", "OUT_OF_MEMORY"):
        why = f"; the kernel killed {kills} for want of memory on this machine meanwhile" if kills else ""
        return f"it was killed ({end}), by the system or the cluster for its memory, or by somebody{why}", memory
    if end in ("SIGTERM", "TIMEOUT", "CANCELLED", "PREEMPTED"):
        return f"it was told to end ({end})", f"raise resources.RULE.runtime if it was the time; {_AGAIN}, and {_KEPT}"
    if end == "SIGINT":
        return "it was stopped (Ctrl-C)", f"give the same command again: {_KEPT}"
    if end in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE"):
        anew = "if it crashes again, make the environment anew (delete .venv, then make setup)"
        return f"it crashed in compiled code of a library ({end})", f"see the end of its log; {_AGAIN}; {anew}"
    if not started:
        status = f", exit status {end}" if end else ""
        return (
            f"its script was not started, or ended before its log was opened{status}",
            f"see what is printed above for this job, and mend that; {_AGAIN}",
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
    torch = sys.modules.get("torch")  # an error of torch's is raised by nobody who has not imported it
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
