"""Calls of Snakemake that may be killed, and what they say they ran."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass
class Call:
    """One call of Snakemake, started, with its output in a file."""

    folder: Path
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait(self) -> int:
        """Its exit status, when it ends."""
        return self.process.wait()

    def kill(self, who: str) -> int:
        """SIGKILL to ``snakemake``, to its ``job`` scripts, or to ``both`` and all in between; how many it met."""
        try:
            main = psutil.Process(self.process.pid)
            below = main.children(recursive=True)
        except psutil.NoSuchProcess:
            return 0
        jobs = [process for process in below if _is_script(process)]
        processes = {"snakemake": [main], "job": jobs, "both": [main, *below]}[who]
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        return len(processes)


def _is_script(process: psutil.Process) -> bool:
    try:
        return any(".snakemake/scripts/" in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


@dataclass
class Ran:
    """What Snakemake says it ran: jobs by their outputs."""

    started: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)


def ran(text: str) -> Ran:
    """Read Snakemake's output."""
    jobs, outputs = Ran(), {}
    for rule, block in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", text, re.MULTILINE):
        (number,) = re.findall(r"^    jobid: (\d+)$", block, re.MULTILINE)
        made = re.findall(r"^    output: (.*)$", block, re.MULTILINE)
        outputs[number] = made[0] if made else rule
        jobs.started.add(outputs[number])
    jobs.finished = {outputs[number] for number in re.findall(r"^Finished jobid: (\d+) ", text, re.MULTILINE)}
    return jobs
