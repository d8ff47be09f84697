"""Costs are read from Snakemake's measurements and the runs' own counters."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from unsee.results.tables.costs import COLUMNS, TrainedRun, collect
from unsee.results.tables.files import write_csv

# As Snakemake writes it; "-" and "NA" are what it could not measure.
HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
ROW = "83.4561\t0:01:23\t{rss}\t4500.00\t1200.00\t1210.00\t0.00\t12.00\t151.20\t126.10\n"


@pytest.fixture
def job(tmp_path: Path) -> TrainedRun:
    (tmp_path / "job.tsv").write_text(HEADER + ROW.format(rss="1523.50"))
    counters = {"steps": 20, "examples_seen": 80, "forward_passes": 160, "backward_passes": 80}
    (tmp_path / "manifest.json").write_text(json.dumps({**counters, "adapter_bytes": 4123456789, "seed": 1}))
    return TrainedRun("tiny", 5, "npo", 1, tmp_path / "job.tsv", tmp_path / "manifest.json")


def test_a_row(job: TrainedRun, tmp_path: Path) -> None:
    table = collect([job])
    assert table.columns.tolist() == COLUMNS
    write_csv(table, tmp_path / "costs.csv")
    assert (tmp_path / "costs.csv").read_text().splitlines()[1] == (
        "tiny,5,npo,1,unlearn,83.456100,1523.500000,20,80,160,80,4123456789"
    )


def test_stages(job: TrainedRun) -> None:
    jobs = [job, replace(job, method="vanilla"), replace(job, method="retain")]
    assert collect(jobs)["stage"].tolist() == ["unlearn", "finetune", "finetune"]


def test_an_absent_counter_is_missing_and_not_zero(job: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"examples_seen": 80}')
    table = collect([job])
    assert table["examples_seen"].tolist() == [80]
    assert table["backward_passes"].isna().all()


def test_the_base_model_has_a_row_without_costs(job: TrainedRun, tmp_path: Path) -> None:
    write_csv(collect([TrainedRun("tiny", 0, "base", 1), job]), tmp_path / "costs.csv")
    base, npo = (tmp_path / "costs.csv").read_text().splitlines()[1:]
    assert base == "tiny,0,base,1" + "," * 8
    assert npo == "tiny,5,npo,1,unlearn,83.456100,1523.500000,20,80,160,80,4123456789"


@pytest.mark.parametrize("rss", ["-", "NA"])
def test_a_job_too_short_to_be_measured(job: TrainedRun, tmp_path: Path, rss: str) -> None:
    (tmp_path / "job.tsv").write_text(HEADER + ROW.format(rss=rss))
    (row,) = collect([job]).to_dict("records")
    assert row["seconds"] == 83.4561
    assert pd.isna(row["peak_memory_mb"])


def test_repeats_are_averaged(job: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "job.tsv").write_text(
        HEADER + ROW.format(rss="10") + ROW.format(rss="30").replace("83.4561", "85.4561")
    )
    (row,) = collect([job]).to_dict("records")
    assert row["seconds"] == pytest.approx(84.4561)
    assert row["peak_memory_mb"] == 30


def test_unreadable_files_are_refused(job: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json: not readable as JSON"):
        collect([job])
    (tmp_path / "job.tsv").write_text("seconds\n1\n")
    with pytest.raises(ValueError, match=r"job\.tsv: 1 rows of \['seconds'\]; expected a row with s and max_rss"):
        collect([job])
    (tmp_path / "job.tsv").write_text(HEADER)
    with pytest.raises(ValueError, match=r"job\.tsv: 0 rows"):
        collect([job])
    (tmp_path / "job.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"job\.tsv"):
        collect([job])
