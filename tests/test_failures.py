"""Each failure ends with one message: the job, the cause, what to do."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest
import torch

from unsee import failures

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


def test_the_summary_speaks_for_those_who_were_killed(tmp_path: Path) -> None:
    said, silent = tmp_path / "said.log", tmp_path / "silent.log"
    said.write_text("noise\n" + failures.message("b", "unlearn", failures.JobError("this", "do that")) + "\n")
    silent.write_text("step 12\n")
    jobs = [("b", said), ("a", silent), ("c", tmp_path / "none.log")]
    text = failures.summary(jobs, 0)
    assert text.startswith("3 failed")
    assert [line.split()[1] for line in text.splitlines() if line.startswith("FAILED")] == ["a", "b", "c"]
    assert text.count("it ended without a word, so it was killed") == 2
    assert "noise" not in text and "cause: this" in text
    assert "the kernel killed 2 for want of memory" in failures.summary(jobs, 2)
    assert "want of memory" not in text
