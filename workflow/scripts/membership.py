"""Can the forgotten people's training pairs be told from strangers'? The table of all models."""

from pathlib import Path

import pandas as pd

import _job
from unsee.benchmarks.tables import person_ids
from unsee.results.tables import membership

_job.start(snakemake)
benchmark = Path(snakemake.input.splits[0]).parents[1]
membership.write(
    Path(snakemake.output.csv).parent,
    runs={
        tuple(run): pd.read_parquet(file)
        for run, file in zip(snakemake.params.runs, snakemake.input.scores, strict=True)
    },
    forgotten={percent: person_ids(benchmark, percent, "forget") for percent in snakemake.params.forget_percents},
    model=snakemake.params.model,
    methods=snakemake.params.methods,
    sees=snakemake.params.sees,
    people_note=snakemake.params.people_note,
)
_job.done(snakemake)
