"""What went wrong with a job, in one message that names the job, the cause and the remedy.

A job's script ends with it (``workflow/scripts/job.py``); a job that was killed cannot, and is spoken for by the summary
that a failed run ends with.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_HEAD = "FAILED"
_AGAIN = "then give the same command again: what is finished is not done again"

#: Less memory, same result, by rule.
_SMALLER = {
    "finetune": "raise finetune.gradient_accumulation, or set finetune.gradient_checkpointing: true",
    "unlearn": "raise gradient_accumulation of unlearning or of the method, or set gradient_checkpointing: true",
    "predict": "lower evaluation.batch_size",
    "pretrain_base": "lower the batches in pretraining",
}
_DISK_FULL = ("No space left on device", "Disk quota exceeded", "os error 28", "Errno 28")
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT)


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


def summary(jobs: Iterable[tuple[str, Path]], oom_kills: int | None = None) -> str:
    """What a run that failed ends with: each failed job's message, or that it ended without one.

    Args:
        jobs: name and log of each failed job.
        oom_kills: how many processes the kernel killed for memory on this machine meanwhile, if that is known.
    """
    found = []
    for job, log in sorted(jobs):
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        _, head, said = text.rpartition(f"{_HEAD} {job}\n")
        found.append(head + said.rstrip() if head else _block(job, *_killed(log, oom_kills)))
    return "\n".join([f"{len(found)} failed, the others went on:", *found])


def oom_kills() -> int:
    """How many processes this machine's kernel has killed for want of memory since it was started; 0 if it does not say."""
    counters = Path("/proc/vmstat")
    rows = counters.read_text().splitlines() if counters.is_file() else []
    return next((int(row.split()[1]) for row in rows if row.startswith("oom_kill ")), 0)


def _killed(log: Path, kills: int | None) -> tuple[str, str]:
    if kills:
        why = f"; the kernel killed {kills} for want of memory on this machine meanwhile"
    else:
        why = ": by the system or the cluster for its memory or time, or by somebody"
    return (
        f"it ended without a word, so it was killed{why} (log: {log})",
        f"if it was the memory, let fewer jobs run at once or raise resources.RULE.mem_mb; {_AGAIN}, and training and "
        "asking go on from what was kept in results/checkpoints",
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
