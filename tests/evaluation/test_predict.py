"""A job answers a file a task, and asks only what no earlier job has answered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from unsee.evaluation import answer_cache, engine, prompts
from unsee.evaluation.predict import predict
from unsee.evaluation.settings import TASKS
from unsee.models.families import source_of

SETTINGS = {"protocol": "unsee", "classification": "likelihood", "max_new_tokens": 2, "batch_size": 4}


@pytest.fixture
def asked_tasks(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The tasks that the engine was asked, filled while jobs run."""
    tasks: set[str] = set()
    answer = engine.answer

    def noting(vlm: Any, pictures: Any, groups: Any, requested: Any, max_new_tokens: int) -> Any:
        tasks.update(requested)
        return answer(vlm, pictures, groups, requested, max_new_tokens)

    monkeypatch.setattr(engine, "answer", noting)
    return tasks


def run(model: dict[str, Any], benchmark: Path, folder: Path, **settings: Any) -> dict[str, list[dict[str, Any]]]:
    output = folder / "predictions"
    predict(
        model,
        benchmark,
        adapters=[],
        forget_percents=[25],
        settings=SETTINGS | settings,
        threads=1,
        output=output,
        cache=folder / "cache",
    )
    return {path.stem: pq.read_table(path).to_pylist() for path in output.glob("*.parquet")}


def test_an_edit_asks_again_what_it_concerns(
    model_spec: dict[str, Any],
    mini_benchmark: Path,
    tmp_path: Path,
    asked_tasks: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = run(model_spec, mini_benchmark, tmp_path)
    assert set(first) == asked_tasks == set(TASKS)
    asked_tasks.clear()
    assert run(model_spec, mini_benchmark, tmp_path) == first and not asked_tasks
    # The sum over an option's tokens instead of the mean is another reading of the same answers.
    by_sum = run(model_spec, mini_benchmark, tmp_path, classification="likelihood_sum")
    assert by_sum["classification"] != first["classification"] and not asked_tasks
    run(model_spec, mini_benchmark, tmp_path, classification="letter")
    assert asked_tasks == {"classification"}
    asked_tasks.clear()
    monkeypatch.setattr(prompts, "cloze", lambda question: f"Fill in: {question}")
    changed = run(model_spec, mini_benchmark, tmp_path)
    assert asked_tasks == {"cloze"} and changed["cloze"] != first["cloze"]
    assert all(changed[task] == first[task] for task in ("classification", "generation"))
    asked_tasks.clear()
    # As if the family's file had been edited; the engine imports it by name alone.
    monkeypatch.setattr(answer_cache, "source_of", lambda name: source_of("qwen2_vl"))
    run(model_spec, mini_benchmark, tmp_path)
    assert asked_tasks == set(TASKS)


def test_damaged_answers_are_asked_again(
    model_spec: dict[str, Any], mini_benchmark: Path, tmp_path: Path, asked_tasks: set[str]
) -> None:
    first = run(model_spec, mini_benchmark, tmp_path, tasks=["cloze"])
    assert set(first) == {"cloze"}
    (kept,) = (tmp_path / "cache").glob("*/*.parquet")
    kept.write_bytes(kept.read_bytes()[:-1])
    asked_tasks.clear()
    assert run(model_spec, mini_benchmark, tmp_path, tasks=["cloze"]) == first
    assert asked_tasks == {"cloze"}


def test_a_job_without_anything_to_ask_imports_no_torch(
    model_spec: dict[str, Any], mini_benchmark: Path, tmp_path: Path
) -> None:
    run(model_spec, mini_benchmark, tmp_path)
    code = f"""
import sys
from pathlib import Path
from unsee.evaluation.predict import predict
predict({model_spec!r}, Path({str(mini_benchmark)!r}), adapters=[], forget_percents=[25], settings={SETTINGS!r}, threads=1,
        output=Path({str(tmp_path / "again")!r}), cache=Path({str(tmp_path / "cache")!r}))
sys.exit("torch" in sys.modules)
"""
    library = str(Path(engine.__file__).parents[2])
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": library}, check=False).returncode == 0
    for task in TASKS:
        assert (tmp_path / f"again/{task}.parquet").read_bytes() == (
            tmp_path / f"predictions/{task}.parquet"
        ).read_bytes()
