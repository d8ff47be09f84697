"""Rank the trials of one method at one ratio, and write the settings of the best one."""

from pathlib import Path

import pandas as pd

import _job
from unsee.jobs import receipts
from unsee.results.tables.files import write_csv
from unsee.results.tables.tuning import rank_trials, selection
from unsee.tuning.gather import gather_trials

_job.start(snakemake)
inputs, params, run = snakemake.input, snakemake.params, snakemake.wildcards
items = gather_trials(
    model=run.model,
    forget_percent=int(run.forget_percent),
    seed=int(run.seed),
    references=[Path(file) for file in inputs.references],
    trials=dict(zip(params.trials, map(Path, inputs.trials), strict=True)),
    questions=pd.read_parquet(inputs.questions),
    splits=pd.read_parquet(list(inputs.splits)),
    settings=params.settings,
    tasks=params.tasks,
)
ranked = rank_trials(items, params.trials, params.sees)
ranked.insert(2, "method", run.method)
write_csv(ranked, Path(snakemake.output.ranked))
receipts.write(Path(snakemake.output.best), selection(ranked, params.trials))
_job.done(snakemake)
