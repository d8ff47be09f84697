"""The table that the papers print, to compute with and to read."""

from pathlib import Path

import pandas as pd

import job
from unsee.files import write_text
from unsee.results.tables import table3, to_markdown, write_csv

job.start(snakemake)
table = table3(pd.read_csv(snakemake.input.scores), snakemake.params.methods)
write_csv(table, Path(snakemake.output.csv))
write_text(Path(snakemake.output.markdown), to_markdown(table))
