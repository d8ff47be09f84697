"""Each failure ends with one message: the job, the cause, what to do."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest
import torch

from unsee.core import failures

JOB = "unlearn/tiny/forget5/npo/seed0"


def _said(error: BaseException, rule: str = "unlearn") -> str:
    text = failures.message(JOB, rule, error)
    assert re.fullmatch(rf"FAILED {JOB}\n  cause: [^\n]+\n  remedy: [^\n]+", text)
    return text


def test_a_full_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert "the memory is full" in _said(caught.value) and "gradient_accumulation" in _said(caught.value)
    assert "--cores" in _said(MemoryError(), "scores") and "gradient_accumulation" not in _said(MemoryError(), "scores")
    gpu = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert "the GPU's memory is full (CUDA out of memory" in _said(gpu, "predict")
    assert "evaluation.batch_size" in _said(gpu, "predict")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk() -> None:
    with pytest.raises(OSError) as caught, open("/dev/full", "w") as file:
        file.write("x")
    assert caught.value.errno == errno.ENOSPC
    assert "the disk is full" in _said(caught.value) and "results/cache may be deleted" in _said(caught.value)
    # Libraries raise errors of their own kind (this is how Rust words it), and others come on top.
    try:
        raise KeyError("cleaning up") from RuntimeError("I/O error: No space left on device (os error 28)")
    except KeyError as error:
        assert "the disk is full" in _said(error)


def test_an_error_that_knows_its_remedy() -> None:
    assert "cause: this\n  remedy: do that" in _said(failures.JobError("this", "do that"))
    assert "raise resources.unlearn.runtime" in _said(failures.StoppedError())


def test_any_other_error_is_one_line() -> None:
    assert "cause: ValueError: two lines" in _said(ValueError("two\nlines"))


def test_the_summary_speaks_for_those_who_said_nothing(tmp_path: Path) -> None:
    said, silent = tmp_path / "said.log", tmp_path / "silent.log"
    said.write_text("noise\n" + failures.message("b", "unlearn", failures.JobError("this", "do that")) + "\n")
    silent.write_text("step 12\n")
    jobs = [("b", said), ("a", silent), ("c", tmp_path / "none.log")]
    text = failures.summary(jobs, 0)
    assert text.startswith("3 failed")
    assert [line.split()[1] for line in text.splitlines() if line.startswith("FAILED")] == ["a", "b", "c"]
    assert text.count("it ended without a message") == text.count("its script was not started") == 1
    assert "noise" not in text and "cause: this" in text and "lack of memory" not in text
    # A log that an earlier call has left says nothing about this one.
    text = failures.summary(jobs, 0, since=said.stat().st_mtime + 1)
    assert text.count("its script was not started") == 3 and "cause: this" not in text


# As Snakemake 9.27 writes it for a script that fails, before the block of its job.
ENDED = """\
RuleException:
CalledProcessError in file "/p/workflow/rules/unlearning.smk", line 4:
Command 'set -euo pipefail;  '/my documents/.venv/bin/python' /p/.snakemake/scripts/tmp4_x.unlearn.py' {end}.
[Tue Nov 24 23:01:44 2026]
Error in rule unlearn:
    message: {message}
    jobid: 3
    log: {log} (check log file(s) for error details)
Logfile {log}:
"""


@pytest.mark.parametrize(
    ("end", "cause", "remedy"),
    [
        ("died with <Signals.SIGKILL: 9>", "killed (SIGKILL)", "raise resources.unlearn.mem_mb"),
        ("returned non-zero exit status 137", "killed (SIGKILL)", "raise resources.unlearn.mem_mb"),
        ("died with <Signals.SIGTERM: 15>", "terminated (SIGTERM)", "raise resources.unlearn.runtime"),
        ("died with <Signals.SIGINT: 2>", "stopped (Ctrl-C)", "give the same command again"),
        ("died with <Signals.SIGSEGV: 11>", "crashed in compiled code of a library (SIGSEGV)", "make setup"),
        ("returned non-zero exit status 3", "ended with exit status 3 and without a message", "the end of its log"),
    ],
)
def test_how_a_job_without_a_message_ended(tmp_path: Path, end: str, cause: str, remedy: str) -> None:
    mine, other, snakemake = tmp_path / "mine.log", tmp_path / "other.log", tmp_path / "snakemake.log"
    mine.write_text("at work\n")
    other_end = ENDED.format(end="returned non-zero exit status 9", log=other, message="None")
    snakemake.write_text(other_end + ENDED.format(end=end, log=mine, message="None"))
    text = failures.summary([("unlearn/a/b", mine)], 2, snakemake)
    assert f"it {cause}" in text or f"it was {cause}" in text
    assert remedy in text
    assert (
        ("mem_mb" in text)
        == ("the kernel killed 2 processes of this machine for lack of memory" in text)
        == ("SIGKILL" in text)
    )


def test_a_script_that_was_never_started(tmp_path: Path) -> None:
    log, snakemake = tmp_path / "none.log", tmp_path / "snakemake.log"
    snakemake.write_text(ENDED.format(end="returned non-zero exit status 127", log=log, message="None"))
    text = failures.summary([("unlearn/a", log)], 0, snakemake)
    assert "its script was not started, or ended before its log was opened, exit status 127" in text
    assert "mem_mb" not in text


def test_what_slurm_says_of_a_job(tmp_path: Path) -> None:
    log, snakemake = tmp_path / "a.log", tmp_path / "snakemake.log"
    log.write_text("at work\n")
    for state, cause in [("OUT_OF_MEMORY", "killed (OUT_OF_MEMORY)"), ("TIMEOUT", "terminated (TIMEOUT)")]:
        message = f"SLURM-job '7' failed, SLURM status is: '{state}'"
        block = ENDED.format(end="", log=log, message=message).partition("Error in rule")
        snakemake.write_text(block[1] + block[2])
        assert cause in failures.summary([("unlearn/a", log)], 0, snakemake)


def test_a_run_that_was_stopped_says_so() -> None:
    assert failures.summary([]).startswith("No job failed: the run was stopped")
    assert "0 failed" not in failures.summary([])
    assert "it was stopped (Ctrl-C)" in _said(KeyboardInterrupt())
