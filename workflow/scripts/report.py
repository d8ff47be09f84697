"""Every figure, and one page with everything."""

import json
from pathlib import Path

import pandas as pd

import _job
from unsee.results.page.write_report import write_report
from unsee.results.tables.files import read_tasks, split_by_run

_job.start(snakemake)
given, params = snakemake.input, snakemake.params
splits = pd.read_parquet(list(given.splits))
runs, trained_runs = ([tuple(run) for run in runs] for runs in (params.runs, params.trained_runs))
manifests = [json.loads(Path(file).read_text(encoding="utf-8")) for file in given.manifests]
write_report(
    Path(snakemake.output.page).parent,
    benchmark={Path(file).stem: pd.read_parquet(file) for file in given.tables} | {"splits": splits},
    tables={Path(file).stem: pd.read_csv(file) for file in given.csv},
    answers=pd.read_parquet(given.answers),
    metrics=dict(zip(trained_runs, map(pd.read_parquet, given.metrics), strict=True)),
    predictions={run: read_tasks(files) for run, files in split_by_run(runs, given.predictions).items()},
    item_scores={run: read_tasks(files) for run, files in split_by_run(runs, given.answer_scores).items()},
    manifests=dict(zip(trained_runs, manifests, strict=True)),
    utility=params.utility,
    configuration=params.configuration,
)
_job.done(snakemake)
