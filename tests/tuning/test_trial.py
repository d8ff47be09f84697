"""A trial that diverges is a result: its file has no scores and says why, and the ranking goes on without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from unsee.core.failures import DivergedError, JobError
from unsee.core.resume import CheckpointDir
from unsee.evaluation.scoring import SCORES
from unsee.tuning import gather, trial

EVALUATION = {"tasks": ["cloze"], "protocol": "unsee"}


def arguments(benchmark: Path, folder: Path, **more: Any) -> dict[str, Any]:
    return {
        **{"model": {}, "benchmark": benchmark, "forget_percent": 25, "threads": 1, "output": folder / "trial.parquet"},
        **{"evaluation": EVALUATION, "vanilla": folder, "settings": {}, **more},
    }


@pytest.mark.parametrize("stage", ["launch", "predict"])
def test_a_trial_that_diverges_has_a_file(
    stage: str, mini_benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is trained, or when it is asked."""

    def nothing(*_: Any, **__: Any) -> None:
        return None

    def diverge(*_: Any, **__: Any) -> None:
        raise DivergedError("the loss is nan at step 3, on forget 001", "lower learning_rate")

    monkeypatch.setattr(trial.processes, "launch", diverge if stage == "launch" else nothing)
    monkeypatch.setattr(trial, "predict", diverge)
    unfinished = CheckpointDir(tmp_path / "job" / "key")
    unfinished.folder.mkdir(parents=True)
    trial.run_trial(**arguments(mini_benchmark, tmp_path, checkpoint_dir=unfinished))
    table = pq.read_table(tmp_path / "trial.parquet")
    assert table.num_rows == 0 and table.column_names == SCORES.names
    assert table.schema.metadata[b"diverged"] == b"the loss is nan at step 3, on forget 001"
    assert trial.has_diverged(tmp_path / "trial.parquet")
    assert not unfinished.folder.exists(), "a later start would go on from there, only to diverge again"


def test_any_other_failure_ends_the_job(mini_benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise JobError("the first gradient is zero, nothing is trained", "choose another lora.scope")

    monkeypatch.setattr(trial.processes, "launch", fail)
    with pytest.raises(JobError, match="the first gradient is zero"):
        trial.run_trial(**arguments(mini_benchmark, tmp_path))
    assert not (tmp_path / "trial.parquet").exists()


def test_what_is_gathered_leaves_it_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {name: tmp_path / f"{name}.parquet" for name in ("low", "high")}
    pq.write_table(SCORES.empty_table(), files["low"])
    pq.write_table(SCORES.empty_table().replace_schema_metadata({trial.DIVERGED: "nan"}), files["high"])
    gathered: list[str] = []

    def watch(runs: Any, *_: Any) -> pd.DataFrame:
        gathered.extend(run.method for run in runs)
        return pd.DataFrame()

    monkeypatch.setattr(gather, "gather", watch)
    common: Any = {"model": "tiny", "forget_percent": 25, "seed": 0, "references": [tmp_path, tmp_path]}
    tables: Any = {"questions": pd.DataFrame(), "splits": pd.DataFrame(), "settings": EVALUATION, "tasks": ["cloze"]}
    gather.gather_trials(trials=files, **common, **tables)
    assert gathered == ["vanilla", "retain", "low"]
