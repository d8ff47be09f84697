"""The workflow in miniature through a real Slurm, of one node and two pretended GPUs; proofs are from Slurm's own records."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from unsee.jobs.resources import resources_of

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILES = [ROOT / "tests" / "workflow" / "mini.yaml", HERE / "mini.yaml"]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
ON_GPU = {"finetune": 1, "train_reference": 1, "unlearn": 2, "predict": 5}
ON_CPU = {"write_benchmark": 1, "load_benchmark": 1}
# What befalls the first job of a rule while its script runs: all that it started is killed, or Slurm takes it back.
STRIKES = {"unlearn": ["scancel", "--signal=KILL"], "predict": ["scontrol", "requeue"]}

Record = dict[str, str]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A cluster, as the environment of a shell on it; stopped whatever happens."""
    folder = tmp_path_factory.mktemp("slurm")
    try:
        up = subprocess.run([HERE / "up.sh", folder, str(os.getpid())], stdout=subprocess.PIPE, text=True, check=True)
        settings = dict(word.split("=", 1) for word in shlex.split(up.stdout)[1:])
        settings["PATH"] = settings["PATH"].replace("$PATH", os.environ["PATH"])
        yield {**os.environ, **settings}
    finally:
        subprocess.run([HERE / "down.sh", folder], check=True)


def command(folder: Path, *arguments: str) -> list[str]:
    """A call of Snakemake for the table in ``folder``."""
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    return [*snakemake, *arguments, "--configfile", *map(str, FILES), "--", "results/table3.csv"]


def records(slurm: dict[str, str]) -> dict[int, Record]:
    """What Slurm has noted of every job, by its number."""
    show = subprocess.run(
        ["scontrol", "show", "job", "--details", "--oneliner"], env=slurm, capture_output=True, text=True, check=False
    )
    jobs = [dict(re.findall(r"([\w/:]+)=(\S*)", line)) for line in show.stdout.splitlines() if "JobId=" in line]
    return {int(job["JobId"]): job for job in jobs}


def rule(job: Record) -> str:
    """The rule of a job."""
    return re.sub("^rule_|_wildcards.*", "", job["Comment"])


def devices(job: int) -> str | None:
    """CUDA_VISIBLE_DEVICES of a job's script, once it runs."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text().split("\0")
            variables = dict(
                line.split("=", 1) for line in (process / "environ").read_text().split("\0") if "=" in line
            )
        except (OSError, UnicodeDecodeError):  # it has ended, or is another user's
            continue
        if variables.get("SLURM_JOB_ID") == str(job) and any(".snakemake/scripts/" in word for word in words):
            return variables.get("CUDA_VISIBLE_DEVICES")
    return None


def minutes(job: Record) -> int:
    """A job's time limit."""
    hours, rest, _ = job["TimeLimit"].split(":")
    return int(hours) * 60 + int(rest)


def test_the_table_through_slurm(slurm: dict[str, str], tmp_path: Path) -> None:
    # Undisturbed, on this machine, which has no GPU: its jobs ask for one and are not kept waiting.
    undisturbed = subprocess.run(
        command(tmp_path / "here", "--cores", "2"), capture_output=True, text=True, check=False
    )
    assert undisturbed.returncode == 0, undisturbed.stderr

    log = tmp_path / "snakemake.log"
    quick = ["--slurm-status-command", "squeue", "--latency-wait", "5"]
    quick += ["--slurm-init-seconds-before-status-checks", "1"]
    struck: dict[str, int] = {}
    side_by_side: set[tuple[str, str]] = set()
    visible: set[tuple[str, str]] = set()
    with log.open("w") as output:
        call = command(tmp_path / "there", "--profile", str(ROOT / "profiles" / "slurm"), *quick)
        run = subprocess.Popen(call, env=slurm, stdout=output, stderr=subprocess.STDOUT)
        try:
            while run.poll() is None:
                running = {i: job for i, job in records(slurm).items() if job["JobState"] == "RUNNING"}
                on_gpu = {i: job for i, job in running.items() if rule(job) in ON_GPU}
                side_by_side |= set(combinations(sorted(job["GRES"] for job in on_gpu.values()), 2))
                for i, job in on_gpu.items():
                    name, device = rule(job), devices(i)
                    if device is not None:
                        visible.add((job["GRES"], device))
                        if name in STRIKES and name not in struck:
                            subprocess.run([*STRIKES[name], str(i)], env=slurm, check=True)
                            struck[name] = i
                time.sleep(0.3)
        finally:
            run.terminate()
            run.wait()
    assert run.returncode == 0, log.read_text()
    jobs = records(slurm)

    # Each rule's jobs asked for what the configuration says, and only the quick ones ran elsewhere.
    done = [rule(job) for job in jobs.values() if job["JobState"] == "COMPLETED"]
    assert {name: done.count(name) for name in done} == ON_GPU | ON_CPU
    for job in jobs.values():
        name = rule(job)
        requested = dict(part.split("=") for part in job["TRES"].split(","))
        assert requested["cpu"] == "1" and requested["mem"] == f"{resources_of(CONFIG, name)['mem_mb']}M", job
        assert job.get("TresPerJob") == ("gres:gpu:toy:1" if name in ON_GPU else None), job
        assert job["Partition"] == ("gpus" if name in ON_GPU else "main"), job

    # Two at a time, never on the same device, and each script was told which is its own.
    ours = [f"gpu:toy:1(IDX:{i})" for i in range(2)]
    assert side_by_side == {(ours[0], ours[1])}
    assert visible == {(ours[0], "0"), (ours[1], "1")}

    # The killed job came again as another, with twice the time; the one that lost its node came again as itself.
    killed, lost = jobs[struck["unlearn"]], jobs[struck["predict"]]
    twice = sorted(i for i, job in jobs.items() if job["Comment"] == killed["Comment"])
    assert [jobs[i]["JobState"] for i in twice] == ["CANCELLED", "COMPLETED"]
    assert [minutes(jobs[i]) for i in twice] == [resources_of(CONFIG, "unlearn")["runtime"] * n for n in (1, 2)]
    assert (lost["JobState"], lost["Restarts"]) == ("COMPLETED", "1")

    # The table is the same to the last byte.
    tables = [tmp_path / place / "results" / "table3.csv" for place in ("here", "there")]
    assert tables[0].read_bytes() == tables[1].read_bytes()
