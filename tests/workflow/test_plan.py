"""Which jobs a configuration makes, before any of them runs and without a model library."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.workflow.conftest import ROOT, Snakemake, call


def test_the_default_run(plan: Snakemake, tmp_path: Path) -> None:
    outcome = plan("methods: {ga: {}, ga_diff: {}, kl_min: {}, npo: {}}", "results/table3.csv")
    assert outcome.code == 0, outcome.text
    n = len(ENTRIES)
    assert outcome.jobs == {
        "write_benchmark": 1,
        "load_benchmark": 1,
        "dataset_statistics": 1,
        "finetune": 1 + 3,
        "unlearn": 3 * n,
        "predict": 1 + 3 + 3 * n,
        "score": 1 + 3 + 3 * n,
        "scores": 1,
        "table3": 1,
    }
    assert not (tmp_path / "work" / "results").exists()
