"""The results table, what there was to forget, what each part of a method is worth, what each run cost, what the benchmark holds."""

from pathlib import Path

import pandas as pd

import _job
from unsee.benchmarks import statistics
from unsee.results.tables.costs import TrainedRun
from unsee.results.tables.write_tables import write_tables
from unsee.tuning.selection import selections

parts = _job.start(snakemake)
inputs, params, output = snakemake.input, snakemake.params, snakemake.output
files = zip(params.runs, inputs.times, inputs.manifests, strict=True)
write_tables(
    Path(output.csv).parent,
    scores=pd.read_csv(inputs.scores),
    items=pd.read_parquet(inputs.answers),
    methods=params.methods,
    sees=params.sees,
    runs=[TrainedRun(params.model, *run, Path(time), Path(manifest)) for run, time, manifest in files],
    statistics=statistics.count(Path(inputs.tables[0]).parent, params.forget_percents),
    people_note=params.people_note,
)
_job.done(snakemake, parts=parts, configuration=params.configuration, **selections(inputs.manifests))
