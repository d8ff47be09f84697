"""Compare the base model's score with a known figure."""

from pathlib import Path

import pandas as pd

import _job
from unsee.evaluation.anchor import check
from unsee.results.tables.files import write_csv

_job.start(snakemake)
table = check(
    pd.read_parquet(snakemake.input.predictions),
    pd.read_parquet(snakemake.input.questions),
    pd.read_parquet(list(snakemake.input.splits)),
    snakemake.params.figures,
)
write_csv(table, Path(snakemake.output[0]))
print(table.to_string(index=False))
_job.done(snakemake)
