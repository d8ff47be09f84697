"""Every figure, and one page with everything."""

import json
from pathlib import Path

import pandas as pd

import _job
from unsee.results.page.write_report import write_report
from unsee.results.tables.files import read_tasks, split_by_run

_job.start(snakemake)
inputs, params = snakemake.input, snakemake.params
splits = pd.read_parquet(list(inputs.splits))
runs, trained_runs = ([tuple(run) for run in runs] for runs in (params.runs, params.trained_runs))
manifests = [json.loads(Path(file).read_text(encoding="utf-8")) for file in inputs.manifests]
write_report(
    Path(snakemake.output.page).parent,
    benchmark={Path(file).stem: pd.read_parquet(file) for file in inputs.tables} | {"splits": splits},
    tables={Path(file).stem: pd.read_csv(file) for file in inputs.csv},
    answers=pd.read_parquet(inputs.answers),
    metrics=dict(zip(trained_runs, map(pd.read_parquet, inputs.metrics), strict=True)),
    predictions={run: read_tasks(files) for run, files in split_by_run(runs, inputs.predictions).items()},
    item_scores={run: read_tasks(files) for run, files in split_by_run(runs, inputs.answer_scores).items()},
    manifests=dict(zip(trained_runs, manifests, strict=True)),
    utility=params.utility,
    configuration=params.configuration,
    people_note=params.people_note,
)
_job.done(snakemake)
