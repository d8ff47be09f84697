"""Attacks and membership tests on a model card: rows of the run only, and only from its present files."""

from __future__ import annotations

import json
from contextlib import chdir
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from unsee.export.evaluation import Evaluation
from unsee.export.finished_run import ExportError, FinishedRun
from unsee.jobs import receipts
from unsee.jobs.runs import Run
from unsee.results.statistics import robustness
from unsee.results.tables import membership

RUN = "results/models/tiny/forget25/ga/seed0"


def job(name: str, inputs: list[str], outputs: dict[str, str]) -> None:
    """Write the outputs of a job and its receipt."""
    for path, text in outputs.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    made: dict[str, Any] = {"job_hash": "0", "inputs": {path: receipts.sha256(Path(path)) for path in inputs}}
    receipts.write(Path(f"results/jobs/{name}.json"), made | {"outputs": receipts.outputs(outputs)})


def row(columns: list[str], **values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(columns, 0.5), "model": "tiny", "forget_percent": 25, "method": "ga", **values}


@pytest.fixture
def run(tmp_path: Path) -> FinishedRun:
    """A run that was attacked and scored, beside another that was too."""
    combined = dict.fromkeys(("set", "modality", "task"), "all") | {"metric": "combined"}
    attacked = {**combined, "attack": "int8", "variant": "", "before": 0.25, "after": 0.75, "verdict": "brought back"}
    attacked |= {"excess": 0.5, "excess_low": 0.4, "excess_high": 0.6}
    rows = [attacked, attacked | {"method": "npo"}, attacked | {"task": "cloze"}, attacked | {"forget_percent": 50}]
    table = pd.DataFrame([row(robustness.COLUMNS, **values) for values in rows])
    scored = {"modality": "both", "score": "loss", "auc": 0.6, "auc_low": 0.55, "auc_high": 0.65}
    others = [{"method": "vanilla", "auc": 0.9}, {"method": "npo"}, {"modality": "text"}]
    apart = pd.DataFrame([row(membership.COLUMNS, **{**scored, **other}) for other in [{}, *others]])
    with chdir(tmp_path):
        job("unlearn/tiny/forget25/ga/seed0", [], {f"{RUN}/adapter/adapter_model.safetensors": "weights"})
        weights = [f"{RUN}/adapter/adapter_model.safetensors"]
        job("attack/tiny/forget25/ga/seed0/int8", weights, {f"{RUN}/attacks/int8.parquet": "answers"})
        job("score_pairs/tiny/forget25/ga/seed0", weights, {f"{RUN}/membership.parquet": "scores"})
        job("robustness", [f"{RUN}/attacks/int8.parquet"], {"results/robustness.csv": table.to_csv(index=False)})
        job("membership", [f"{RUN}/membership.parquet"], {"results/membership.csv": apart.to_csv(index=False)})
    return FinishedRun(tmp_path, "tiny", Run(25, "ga", 0), tmp_path)


def test_rows_of_the_run_and_no_other(run: FinishedRun) -> None:
    attacked, apart = Evaluation(run).robustness(), Evaluation(run).membership()
    assert attacked is not None and apart is not None
    assert attacked.to_numpy().tolist() == [["int8", "0.250", "0.750", "0.500 (0.400 to 0.600)", "brought back"]]
    assert apart["model"].tolist() == ["GA", "vanilla"]
    assert apart["area under the curve"].tolist()[0] == "0.60 (0.55 to 0.65)"
    assert Evaluation(run).scores() is None, "there is no scores.csv"


@pytest.mark.parametrize(
    "changed", ["unlearn/tiny/forget25/ga/seed0", "attack/tiny/forget25/ga/seed0/int8", "robustness"]
)
def test_a_table_of_other_files_is_refused(run: FinishedRun, changed: str) -> None:
    """As if the job had run once more, and those after it had not."""
    path = run.place / f"results/jobs/{changed}.json"
    receipt = json.loads(path.read_text())
    next(iter(receipt["outputs"].values()))["sha256"] = "1" * 64
    path.write_text(json.dumps(receipt))
    with pytest.raises(
        ExportError, match=r"robustness.csv: was not made from the files that are there now|int8.parquet: was not"
    ):
        Evaluation(run).robustness()


def test_a_table_that_rests_on_nothing_of_the_run_has_no_rows_of_it(run: FinishedRun) -> None:
    other = FinishedRun(run.place, "tiny", Run(25, "npo", 0), run.base)
    assert Evaluation(other).robustness() is None and Evaluation(other).membership() is None
