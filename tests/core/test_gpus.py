"""Which GPUs there are, and that no two jobs get the same one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unsee.core import gpus

ROOT = Path(__file__).parents[2]
UUIDS = ["GPU-1a2b", "GPU-3c4d", "GPU-5e6f"]
HOLD = "import os; from unsee.core import gpus; gpus.claim({}); print(os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True); input()"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A machine with so many GPUs."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv(gpus.VARIABLE, raising=False)

    def of(count: int) -> None:
        lines = [f"GPU {i}: NVIDIA H100 (UUID: {uuid})" for i, uuid in enumerate(UUIDS[:count])]
        said = "\n".join(f"echo '{line}'" for line in lines) or "echo 'No devices were found'; exit 6"
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{said}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)

    return of


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, UUIDS),
        ("2,0", ["GPU-5e6f", "GPU-1a2b"]),
        ("GPU-3c,0,1", ["GPU-3c4d", "GPU-1a2b"]),
        ("0,7,1", ["GPU-1a2b"]),
        ("-1", []),
        ("", []),
        ("MIG-99", ["MIG-99"]),
    ],
)
def test_the_variable_chooses_among_the_machines(
    machine: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[str]
) -> None:
    machine(3)
    if visible is not None:
        monkeypatch.setenv(gpus.VARIABLE, visible)
    cards = gpus.usable()
    assert [gpu.identity for gpu in cards] == expected
    assert [gpu.name for gpu in cards] == (visible.split(",")[: len(cards)] if visible is not None else UUIDS)


@pytest.mark.parametrize("visible", [None, "0", "MIG-99"])
def test_a_machine_without_gpus(
    machine: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, visible: str | None
) -> None:
    machine(0)
    if visible is not None:
        monkeypatch.setenv(gpus.VARIABLE, visible)
    assert gpus.usable() == []
    gpus.claim(1)
    assert os.environ.get(gpus.VARIABLE) == visible


def test_a_job_that_asks_for_none_sees_none(machine: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    machine(2)
    monkeypatch.setenv(gpus.VARIABLE, "0,1")
    gpus.claim(0)
    assert os.environ[gpus.VARIABLE] == ""


@pytest.fixture
def job() -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """Start a process that claims so many GPUs, says which, and stays."""
    started: list[subprocess.Popen[str]] = []

    def start(wanted: int) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        process = subprocess.Popen([sys.executable, "-c", HOLD.format(wanted)], text=True, env=environment, **pipes)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_jobs_have_gpus_of_their_own(
    machine: Callable[[int], None], job: Callable[[int], subprocess.Popen[str]]
) -> None:
    machine(2)
    first, second = job(1), job(1)
    assert {line(first), line(second)} == set(UUIDS[:2])
    third = job(1)
    assert third.stderr is not None
    assert third.stderr.readline() == "waiting for 1 of the GPUs GPU-1a2b, GPU-3c4d\n"
    # However a job dies, its GPU is free for the next.
    first.send_signal(signal.SIGKILL)
    first.wait()
    second.kill()
    second.wait()
    freed = {line(third), line(job(1))}
    assert freed == set(UUIDS[:2])


def test_a_job_of_two_waits_for_both(
    machine: Callable[[int], None], job: Callable[[int], subprocess.Popen[str]]
) -> None:
    machine(2)
    one = job(1)
    assert line(one) == UUIDS[0]
    two = job(2)
    assert two.stderr is not None and two.stderr.readline().startswith("waiting for 2")
    # It holds none while it waits.
    other = job(1)
    assert line(other) == UUIDS[1]
    for process in (one, other):
        process.kill()
        process.wait()
    assert line(two) == ",".join(UUIDS[:2])


def test_more_than_there_are_is_all_of_them(
    machine: Callable[[int], None], job: Callable[[int], subprocess.Popen[str]]
) -> None:
    machine(1)
    assert line(job(4)) == UUIDS[0]
