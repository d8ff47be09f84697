"""Gather the scores of every run: means of each set in one table, those of single questions in another."""

from pathlib import Path

import pandas as pd

import _job
from unsee.core.files import atomic_write
from unsee.evaluation.protocols.load import load_protocol
from unsee.results.tables.files import split_by_run, write_csv
from unsee.results.tables.scores import Run, gather, summarise

_job.start(snakemake)
params = snakemake.params
files = split_by_run([tuple(run) for run in params.runs], snakemake.input.answers)
items = gather(
    [Run(params.model, *run, scores) for run, scores in files.items()],
    pd.read_parquet(snakemake.input.questions),
    pd.read_parquet(list(snakemake.input.splits)),
    params.forget_percents,
    load_protocol(params.settings),
    params.tasks,
)
with atomic_write(Path(snakemake.output.answers)) as part:
    items.to_parquet(part, index=False)
write_csv(summarise(items, snakemake.params.interval), Path(snakemake.output.scores))
_job.done(snakemake)
