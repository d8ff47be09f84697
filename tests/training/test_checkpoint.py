"""A run that is killed and restarted ends with the same bytes as one that is not."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unsee.core.resume import CheckpointDir
from unsee.training.checkpoint import Checkpoints
from unsee.training.finetune import finetune
from unsee.unlearning.run import unlearn

SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-2,
    "epochs": 2,
    "batch_size": 4,
    "packing": "person",
    "schedule": "cosine",
    "warmup": 0.2,
    # Dropout, so that the state of the random generator must be restored.
    "lora": {"rank": 4, "alpha": 4, "dropout": 0.2, "scope": "language"},
}
Run = Callable[[Path, CheckpointDir | None], None]


class Killed(BaseException):
    """Stands for SIGKILL within one process."""


@pytest.fixture(scope="module")
def vanilla(tmp_path_factory: pytest.TempPathFactory, model_spec: dict[str, Any], mini_benchmark: Path) -> Path:
    folder = tmp_path_factory.mktemp("vanilla")
    _run("finetune", model_spec, mini_benchmark, folder)(folder, None)
    return folder


def _run(kind: str, spec: dict[str, Any], benchmark: Path, vanilla: Path) -> Run:
    common: dict[str, Any] = {"forget_percent": 25, "seed": 0, "threads": 1}

    def run(output: Path, checkpoint_dir: CheckpointDir | None) -> None:
        if kind == "finetune":
            finetune(
                spec,
                benchmark,
                role="vanilla",
                settings=SETTINGS,
                output=output,
                checkpoint_dir=checkpoint_dir,
                **common,
            )
        else:
            # One person per step, so that there are several steps.
            settings = {**SETTINGS, "batch_size": 1, "learning_rate": 1e-3}
            options: dict[str, Any] = {"threshold": 1.0, "parameters": "adapter"} if kind == "mmunlearner" else {}
            if kind == "vl_eraser":
                options = {"weight": 0.5, "vacuum": True, "distil": True, "ce": True, "tolerance": 1e-6}
                options["vacuum_inputs"] = "image"
            unlearn(
                spec,
                benchmark,
                vanilla=vanilla / "adapter",
                reference=None,
                method=kind,
                settings={**settings, **options},
                output=output,
                checkpoint_dir=checkpoint_dir,
                **common,
            )

    return run


def _killed_at(monkeypatch: pytest.MonkeyPatch, step: int, run: Run, output: Path, place: CheckpointDir) -> None:
    """Run until the end of a step, and raise Killed there."""
    whole = Checkpoints.step_done

    def step_done(self: Checkpoints) -> None:
        whole(self)
        if self._progress.counters.steps == step:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoints, "step_done", step_done)
        run(output, place)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["finetune", "mmunlearner", "vl_eraser"])
def test_a_killed_run_ends_with_the_same_bytes(
    kind: str,
    vanilla: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model_spec: dict[str, Any],
    mini_benchmark: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "unsee")
    run = _run(kind, model_spec, mini_benchmark, vanilla)
    if kind == "finetune":
        whole = vanilla
    else:
        whole = tmp_path / "whole"
        run(whole, None)
    # Every second step is stored, so that step 3 is repeated. The fine-tuning is killed a second time after its restart.
    place = CheckpointDir(tmp_path / "checkpoints" / "job" / "key", steps=2)
    kills = [3, 5] if kind == "finetune" else [3]
    for step in kills:
        _killed_at(monkeypatch, step, run, tmp_path / "killed", place)
        assert not (tmp_path / "killed" / "adapter").exists()
    assert [path.name[:9] for path in sorted(place.folder.iterdir())] == ["000000002", "000000004"][: len(kills)]
    run(tmp_path / "killed", place)
    assert caplog.text.count("continuing from checkpoint") == len(kills)
    assert _files(tmp_path / "killed") == _files(whole)
    assert not place.folder.parent.exists(), "removed on success"


def test_a_damaged_checkpoint_is_skipped_with_a_warning(
    vanilla: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model_spec: dict[str, Any],
    mini_benchmark: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "unsee")
    run = _run("finetune", model_spec, mini_benchmark, vanilla)
    place = CheckpointDir(tmp_path / "checkpoints" / "job" / "key", minutes=0)
    _killed_at(monkeypatch, 5, run, tmp_path / "run", place)
    before, last = sorted(place.folder.iterdir())
    assert [path.name[:9] for path in (before, last)] == ["000000004", "000000005"], "two are kept"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    run(tmp_path / "run", place)
    assert f"checkpoint {last} is damaged" in caplog.text
    assert f"continuing from checkpoint {before}" in caplog.text
    assert _files(tmp_path / "run") == _files(vanilla)

    # If no checkpoint is intact, the run starts from the beginning.
    caplog.clear()
    _killed_at(monkeypatch, 2, run, tmp_path / "again", place)
    for path in place.folder.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    run(tmp_path / "again", place)
    assert caplog.text.count("is damaged") == 2 and "continuing from checkpoint" not in caplog.text
    assert _files(tmp_path / "again") == _files(vanilla)


def test_no_checkpoint_is_written_before_it_is_due(
    vanilla: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    run = _run("finetune", model_spec, mini_benchmark, vanilla)
    place = CheckpointDir(tmp_path / "checkpoints" / "job" / "key", minutes=10)
    _killed_at(monkeypatch, 3, run, tmp_path / "run", place)
    assert not place.folder.exists()


# Two processes of one job; each prints the step from which it continues.
PROCESSES = """
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
import torch
import torch.distributed as dist
from torch import nn
from unsee.core.resume import CheckpointDir
from unsee.training.checkpoint import Checkpoints
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=int(sys.argv[1]), world_size=2)
weights = {"weight": nn.Parameter(torch.zeros(2))}
optimizer = torch.optim.Adam(weights.values())
@dataclass
class Counters:
    steps: int = 0
progress = SimpleNamespace(rows=[], counters=Counters())
# By its own clock, the second process would write after every step.
place = CheckpointDir(Path(sys.argv[3]), minutes=None if sys.argv[1] == "0" else 0, steps=2)
checkpoints = Checkpoints(place, weights, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer), progress)
done = checkpoints.resume()
print(done, weights["weight"][0].item())
while progress.counters.steps < 5:
    progress.counters.steps += 1
    weights["weight"].data.fill_(progress.counters.steps)
    checkpoints.step_done()
"""


def _two(tmp_path: Path, name: str) -> list[str]:
    command = [sys.executable, "-c", PROCESSES]
    src = str(Path(__file__).parents[2] / "src")
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / name), str(tmp_path / "checkpoints")],
            env={**os.environ, "PYTHONPATH": src, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    return [process.communicate()[0].strip() for process in processes]


def test_the_processes_of_a_job_continue_from_the_same_step(tmp_path: Path) -> None:
    assert _two(tmp_path, "first") == ["0 0.0", "0 0.0"]
    kept = sorted(path.name[:11] for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["000000002.0", "000000002.1", "000000004.0", "000000004.1"]
    (damaged,) = (tmp_path / "checkpoints").glob("000000004.1-*")
    damaged.write_bytes(b"")
    assert _two(tmp_path, "second") == ["2 2.0", "2 2.0"]
