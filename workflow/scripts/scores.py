"""Gather every model's scores in one table, set by set."""

from pathlib import Path

import pandas as pd

import job
from unsee.results.scores import Run, collect
from unsee.results.tables import write_csv

job.start(snakemake)
benchmark = Path(snakemake.input.tables[0]).parent
files = zip(snakemake.params.runs, snakemake.input.item_scores, strict=True)
scores = collect(
    [Run(snakemake.params.model, *run, Path(file)) for run, file in files],
    pd.read_parquet(benchmark / "questions.parquet"),
    pd.read_parquet(benchmark / "splits.parquet"),
    snakemake.params.forget_percents,
)
write_csv(scores, Path(snakemake.output[0]))
