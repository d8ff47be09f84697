"""Answers come batch by batch, survive a kill, and end up in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unsee.core.resume import CheckpointDir
from unsee.evaluation import engine, shards
from unsee.evaluation import predict as job
from unsee.evaluation.settings import TASKS

SCHEMA = pa.schema([("question_id", pa.string()), ("output", pa.string())])


def _rows(*ids: str) -> list[dict[str, str]]:
    return [{"question_id": name, "output": f"answer {name}"} for name in ids]


def test_shards_are_joined_in_the_order_of_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_WRITE", 2)
    files = [
        shards.write(tmp_path, "0", _rows("q5", "q1", "q4"), SCHEMA),
        shards.write(tmp_path, "1", _rows("q2", "q3"), SCHEMA),
    ]
    joined = shards.join(files, tmp_path, "all", SCHEMA)
    assert pq.read_table(joined).to_pylist() == _rows("q1", "q2", "q3", "q4", "q5")
    assert pq.ParquetFile(joined).num_row_groups == 3


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_shard_that_is_damaged_or_about_others_is_not_found(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [f"q{i}" for i in range(10)]
    assert shards.find(tmp_path, "0", ids) is None
    shard = shards.write(tmp_path, "0", _rows(*ids), SCHEMA)
    assert shards.find(tmp_path, "1", ids) is None
    assert shards.find(tmp_path, "0", ids[::-1]) == shard
    content = bytearray(shard.read_bytes())
    content[50] ^= 1
    shard.write_bytes(content if damage == "flipped" else content[:50])
    assert shards.find(tmp_path, "0", ids) is None and "damaged" in caplog.text
    shards.write(tmp_path, "0", _rows(*ids), SCHEMA)
    assert shards.find(tmp_path, "0", ids[1:]) is None


class Killed(BaseException):
    """As SIGKILL would."""


def test_inference_goes_on_where_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_spec: dict[str, Any], mini_benchmark: Path
) -> None:
    settings = {"classification": "likelihood", "batch_size": 3, "max_new_tokens": 2}
    batches: list[str] = []
    answer = engine.answer

    def counted(vlm: Any, pictures: Any, groups: Any, tasks: Any, max_new_tokens: int) -> Any:
        if len(batches) == 2 and not killed:
            killed.append(True)
            raise Killed
        batches.append(groups[0][0].question_id)
        return answer(vlm, pictures, groups, tasks, max_new_tokens)

    def predict(output: Path, checkpoint_dir: CheckpointDir | None) -> list[bytes]:
        job.predict(
            model_spec,
            mini_benchmark,
            adapters=[],
            forget_percents=[25],
            settings=settings,
            threads=1,
            output=output,
            checkpoint_dir=None if checkpoint_dir is None else lambda: checkpoint_dir,
        )
        return [(output / f"{task}.parquet").read_bytes() for task in TASKS]

    killed: list[bool] = [True]
    monkeypatch.setattr(engine, "answer", counted)
    whole = predict(tmp_path / "whole", None)
    n = len(batches)
    ids = pq.read_table(tmp_path / "whole/cloze.parquet")["question_id"].to_pylist()
    assert n > 4 and ids == sorted(ids)

    place = CheckpointDir(tmp_path / "checkpoints" / "job" / "key")
    killed.clear()
    batches.clear()
    with pytest.raises(Killed):
        predict(tmp_path / "killed", place)
    assert len(list(place.folder.iterdir())) == 2 * len(TASKS) and not (tmp_path / "killed").exists()
    assert predict(tmp_path / "killed", place) == whole
    assert len(batches) == len(set(batches)) == n, "none was asked twice"
    assert not place.folder.parent.exists(), "removed on success"
