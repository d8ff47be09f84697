"""The table that the papers print, to compute with and to read."""

from pathlib import Path

import pandas as pd

import job
from unsee.results.tables import table3, to_markdown, write_csv

job.start(snakemake)
table = table3(pd.read_csv(snakemake.input.scores), snakemake.params.methods)
write_csv(table, Path(snakemake.output.csv))
Path(snakemake.output.markdown).write_text(to_markdown(table), encoding="utf-8")
