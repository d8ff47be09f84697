"""How a job's script ends: its log says last, once, which job failed, why, and what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

JOB = "unlearn/tiny/forget5/npo/seed0"
# What Snakemake puts before every script, as far as _job.py looks at it.
BEFORE = f"""
import os, signal, sys
from snakemake.iocontainers import Namedlist
from types import SimpleNamespace
snakemake = SimpleNamespace(
    rule="unlearn", log=["results/jobs/{JOB}.log"], input=Namedlist(), threads=1,
    resources=Namedlist(fromdict={{"gpu": GPU}}), params=Namedlist(fromdict={{"model": {{"dtype": "DTYPE"}}}}),
)
sys.path.insert(0, "SCRIPTS")
import _job
_job.start(snakemake)
print("at work")
"""


def _log(folder: Path, script: str, *, gpu: int = 0, dtype: str = "float32") -> tuple[int, str]:
    """Run a job's script; its exit status and its log."""
    log = folder / "results" / "jobs" / f"{JOB}.log"
    log.parent.mkdir(parents=True)
    scripts = str(Path(__file__).parents[2] / "workflow" / "scripts")
    before = BEFORE.replace("GPU", str(gpu)).replace("DTYPE", dtype).replace("SCRIPTS", scripts)
    done = subprocess.run(
        [sys.executable, "-c", before + script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.stdout == done.stderr == ""
    return done.returncode, log.read_text()


@pytest.mark.parametrize(
    ("script", "cause", "remedy"),
    [
        ("raise MemoryError", "the memory is full (MemoryError)", "gradient_accumulation"),
        ("open('/dev/full', 'w').write('x' * 99999)", "the disk is full ([Errno 28]", "free space on"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "it was terminated (SIGTERM)", "resources.unlearn.runtime"),
        ("open('table.csv')", "FileNotFoundError", "see the lines above"),
    ],
)
def test_a_failed_job_says_so_last_and_once(script: str, cause: str, remedy: str, tmp_path: Path) -> None:
    code, log = _log(tmp_path, script)
    assert code == 1
    assert "Traceback" in log and log.count(f"FAILED {JOB}\n") == 1
    said = log.split(f"FAILED {JOB}\n")[1].splitlines()
    assert len(said) == 2
    assert said[0].startswith(f"  cause: {cause}") and said[1].startswith("  remedy: ") and remedy in said[1]


def test_a_job_that_does_not_fail_says_nothing(tmp_path: Path) -> None:
    assert _log(tmp_path, "") == (0, "at work\n")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_large_model_is_not_run_without_its_gpu(dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # of a machine that has some, none is seen
    code, log = _log(tmp_path, "", gpu=1, dtype=dtype)
    if dtype == "float32":
        assert code == 0 and "computing on the CPU" in log and log.endswith("at work\n")
    else:
        assert code == 1 and "at work" not in log
        assert "cause: resources.unlearn.gpu is 1 and model.dtype is bfloat16, but torch" in log


# A job at a place of its own for each case; the digest in its folder's name is printed.
DIGESTS = """
from pathlib import Path
def digest(case, **changed):
    snakemake.log = [f"results/jobs/{case}.log"]
    snakemake.config = {"checkpoint": {"minutes": 10, "steps": None}}
    snakemake.input = ["input"]
    snakemake.__dict__.update(changed)
    print(case, _job.checkpoint_dir(snakemake).folder.name)
Path("input").write_text("one")
digest("first")
digest("again")
digest("checkpoints", config={"checkpoint": {"minutes": 1, "steps": 3}})
digest("settings", params=Namedlist(fromdict={"model": {"dtype": "bfloat16"}}))
snakemake.params = Namedlist(fromdict={"model": {"dtype": "float32"}})
digest("threads", threads=2)
snakemake.threads = 1
Path("input").write_text("two")
digest("input")
"""


def test_unfinished_work_is_kept_by_all_that_decides_its_result(tmp_path: Path) -> None:
    code, log = _log(tmp_path, DIGESTS)
    assert code == 0, log
    digests = dict(line.split() for line in log.splitlines()[1:])
    assert digests["first"] == digests["again"] == digests["checkpoints"]
    assert len({digests[case] for case in ("first", "settings", "threads", "input")}) == 4
