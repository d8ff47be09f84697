"""Compare the base model's score with the one that is known."""

from pathlib import Path

import pandas as pd

import job
from unsee.evaluation.anchor import check
from unsee.results.tables.files import write_csv

job.start(snakemake)
given = snakemake.input
table = check(
    pd.read_parquet(given.predictions),
    pd.read_parquet(given.questions),
    pd.read_parquet(given.splits),
    snakemake.params.figures,
)
write_csv(table, Path(snakemake.output[0]))
print(table.to_string(index=False))
job.done(snakemake)
