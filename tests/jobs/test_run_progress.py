"""Counts, names and the time left of a run, against times computed by hand; the lines and the bar, by the real Snakemake."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest

from snakemake_logger_plugin_unsee.progress import RunProgress, in_words, job_name

ROOT = Path(__file__).parents[2]
WORKFLOW = """\
rule all:
    input: expand("results/{name}.txt", name=["a", "b", "bad"])
rule make:
    output: "results/{name}.txt"
    log: "results/jobs/make/{name}.log"
    shell: "if [ {wildcards.name} = bad ]; then echo 'cause: it is bad' > {log}; exit 3; fi; sleep 0.3; echo x > {output}"
"""


def test_the_time_left() -> None:
    run = RunProgress({"train": 4, "score": 1})
    assert run.seconds_left(0) is None
    run.start(1, "train", "train/1", 100)
    assert run.seconds_left(105) is None, "no job of a rule with several is done"
    assert run.finish(1, 110) == f"[1/5] {'train/1':<55}     10 s"
    assert run.seconds_left(110) == pytest.approx(30), (
        "three more of ten seconds; one job left of a rule counts nothing"
    )
    run.start(2, "train", "train/2", 110)
    run.start(3, "train", "train/3", 110)
    # 30 s of work are left but for 2 x 5; in 15 s there were 10 + 5 + 5 s of work done.
    assert run.seconds_left(115) == pytest.approx((30 - 10) * 15 / 20)
    assert run.status(115) == "train and 1 more for 5 s; about 15 s left"
    assert run.fail(2, 116).endswith("6 s  FAILED")
    assert run.seconds_left(117) is None and run.status(117) == "1 failed; train for 7 s"
    run.start(2, "train", "train/2", 117)
    run.finish(2, 130)
    assert (run.done, run.total, run.failed) == (2, 5, 1)


def test_a_job_that_takes_longer_than_the_mean_leaves_no_less_than_nothing() -> None:
    run = RunProgress({"train": 2})
    run.start(1, "train", "1", 0)
    run.finish(1, 10)
    run.start(2, "train", "2", 10)
    assert run.seconds_left(100) == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (99, "99 s"), (125, "2 min"), (5900, "98 min"), (7500, "2 h 05 min"), (-3, "0 s")],
)
def test_durations(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_names_are_those_in_messages_of_failed_jobs() -> None:
    assert (
        job_name("unlearn", ["results/jobs/unlearn/tiny/forget5/npo/seed0.log"], {}) == "unlearn/tiny/forget5/npo/seed0"
    )
    assert job_name("make", [], {"a": "1", "b": "2"}) == "make/1/2"
    assert job_name("make", ["elsewhere/x.log"], {}) == "make"


def call(folder: Path, *arguments: str, snakefile: str = WORKFLOW) -> list[str]:
    """The command that runs a small workflow with this logger."""
    (folder / "Snakefile").write_text(dedent(snakefile))
    return [sys.executable, "-m", "snakemake", "--cores", "1", "--keep-going", "--show-failed-logs", *arguments]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Its outcome where the output is no terminal."""
    command = call(folder, *arguments)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def in_terminal(folder: Path, columns: int, **environment: str) -> str:
    """All that it writes to a terminal of this width."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        call(folder, "--logger", "unsee"),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "TERM": "xterm", **environment},
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    parts = []
    try:
        while part := os.read(leader, 4096):
            parts.append(part)
    except OSError:  # Linux's end of a terminal
        pass
    os.close(leader)
    assert process.wait() == 1
    return b"".join(parts).decode()


def test_a_file_gets_one_plain_line_a_job_and_the_whole_error(tmp_path: Path) -> None:
    done = run(tmp_path, "--logger", "unsee")
    usual = run(tmp_path)
    assert done.returncode == usual.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("[") and "/4]" in line and "FAILED" not in line] == [
        ["[1/4]", "make/a"],
        ["[2/4]", "make/b"],
    ] or sorted(line.split()[1] for line in lines if "/4]" in line) == ["make/a", "make/b", "make/bad"]
    assert sum("FAILED" in line for line in lines) == 1
    assert "\033" not in done.stderr and "\r" not in done.stderr and "|" not in done.stderr
    # What Snakemake itself says about the failure: error, log, and where the whole log is.
    for part in ("Error in rule make:", "cause: it is bad", "exit status 3", "Complete log(s): "):
        assert part in done.stderr and part in usual.stderr
    assert "Finished jobid" not in done.stderr
    log = Path(done.stderr.split("Complete log(s): ")[1].splitlines()[0]).read_text()
    assert "Finished jobid" in log and "cause: it is bad" in log


@pytest.mark.parametrize("arguments", [["--dry-run"], ["--verbose", "--dry-run"]])
def test_a_dry_run_looks_as_snakemake_shows_it(tmp_path: Path, arguments: list[str]) -> None:
    here, usual = run(tmp_path, "--logger", "unsee", *arguments), run(tmp_path, *arguments)
    assert here.returncode == usual.returncode == 0
    jobs = [
        line for line in usual.stdout.splitlines() + usual.stderr.splitlines() if line.startswith(("rule ", "make "))
    ]
    assert len([line for line in jobs if line.startswith("rule ")]) == 4
    assert all(line in here.stdout + here.stderr for line in jobs)


def test_a_terminal_has_a_bar_within_its_width(tmp_path: Path) -> None:
    written = in_terminal(tmp_path, 60)
    bars = [part for line in written.splitlines() for part in line.split("\r") if "/4 |" in part]
    assert bars and max(len(bar.split("\033")[0]) for bar in bars) <= 60
    assert any(bar.startswith("2/4") for bar in bars)
    # The bar is gone in the end: blanks cover it.
    _, blanks, cursor = written.rsplit("/4 |", 1)[1].split("\r")
    assert blanks and not blanks.strip() and not cursor
    assert "Complete log(s)" in written
    assert "\033[31m" in written


def test_no_color(tmp_path: Path) -> None:
    assert "\033[3" not in in_terminal(tmp_path, 80, NO_COLOR="1")


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    slow = 'rule make:\n    output: "results/a.txt"\n    shell: "touch started; sleep 600"\n'
    command = call(tmp_path, "--logger", "unsee", snakefile=slow)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what is in its background with the signal ignored, and so would be everything started from here.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.1)
    written = ""
    for _ in range(
        6
    ):  # a signal may come where Python cannot raise, such as in a destructor; a user presses the keys again
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            _, written = process.communicate(timeout=30)
            break
    assert process.returncode not in (0, None)
    assert "user request" in written or "Exiting" in written or "Interrupt" in written


def test_a_clone_uses_its_own_library_whatever_the_environment_has_installed(tmp_path: Path) -> None:
    """Snakemake imports this logger before it reads the Snakefile."""
    other = tmp_path / "other" / "unsee"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise ImportError('the library of another clone')\n")
    snakefile = f"""\
        import sys
        assert "snakemake_logger_plugin_unsee" in sys.modules and "unsee" not in sys.modules
        sys.path.insert(0, {str(ROOT / "src")!r})
        import unsee.jobs.plan
        rule nothing:
        """
    command = call(tmp_path, "--logger", "unsee", snakefile=snakefile)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path / 'other'}{os.pathsep}{ROOT / 'src'}"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
