"""Every method compared with vanilla and the retain-only model, in single scores and in a few numbers."""

from pathlib import Path

import pandas as pd

import _job
from unsee.results.tables.write_summary import write_summary

_job.start(snakemake)
write_summary(
    Path(snakemake.output.csv).parent,
    scores=pd.read_csv(snakemake.input.scores),
    items=pd.read_parquet(snakemake.input.answers),
    methods=snakemake.params.methods,
    sees=snakemake.params.sees,
    people_note=snakemake.params.people_note,
)
_job.done(snakemake)
