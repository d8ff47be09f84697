"""The short form of tools/chaos.py: one model, killed while it learns and again while it answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.calls import Call, ran
from tools.chaos import CONFIG, Chaos

RUN = "tiny-llava/forget0/vanilla/seed0"


def _wait(call: Call, is_reached: Callable[[], bool]) -> None:
    while not is_reached():
        assert call.process.poll() is None, call.text
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path, model_spec: dict[str, Any]) -> None:
    small = tmp_path / "small.yaml"
    small.write_text(yaml.safe_dump({"model": {"path": model_spec["path"]}}))
    chaos = Chaos(tmp_path, 1, f"results/models/{RUN}/scores/generation.parquet", (CONFIG, small))
    whole, killed = tmp_path / "undisturbed" / "results", tmp_path / "killed" / "results"
    assert chaos.start("undisturbed").wait() == 0

    # The job alone, in the midst of training: Snakemake says what has failed, and that nobody else could say it.
    learning = chaos.start("killed")
    _wait(learning, lambda: len(list(killed.glob("checkpoints/finetune*/*/*-*.pt"))) == 2)
    assert learning.kill("job") == 1
    assert learning.wait() != 0
    assert (
        f"1 failed, the other branches continued:\nFAILED finetune/{RUN}\n  cause: it was killed (SIGKILL)"
        in learning.text
    )

    # Everything, in the midst of answering.
    answering = chaos.start("killed")
    _wait(answering, lambda: bool(list(killed.glob("checkpoints/predict*/*/*-*.parquet"))))
    assert answering.kill("both") == 2
    answering.wait()
    assert "continuing from checkpoint" in (killed / f"jobs/finetune/{RUN}.log").read_text()

    locked = chaos.start("killed")
    assert locked.wait() != 0
    assert "A call of Snakemake that was killed has left its lock" in locked.text and "--unlock" in locked.text
    calls = chaos.finish("killed")
    chaos.expect_nothing_twice([learning, answering, *calls])
    assert [len(ran(call.text).started) for call in calls] == [2], "predict and evaluate"
    chaos.expect_table("killed")
    for name in ("adapter/adapter_model.safetensors", "metrics.parquet", "predictions/generation.parquet"):
        assert (killed / "models" / RUN / name).read_bytes() == (whole / "models" / RUN / name).read_bytes()
