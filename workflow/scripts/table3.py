"""The table that the papers print, to compute with and to read."""

from pathlib import Path

import pandas as pd

import job
from unsee.core.files import write_text
from unsee.jobs import receipts
from unsee.results.tables.files import write_csv
from unsee.results.tables.table3 import table3, to_markdown

job.start(snakemake)
made = receipts.check(snakemake.params.receipts)
table = table3(pd.read_csv(snakemake.input.scores), snakemake.params.methods)
write_csv(table, Path(snakemake.output.csv))
write_text(Path(snakemake.output.markdown), to_markdown(table))
job.done(snakemake, parts=made, configuration=receipts.portable(snakemake.params.configuration))
