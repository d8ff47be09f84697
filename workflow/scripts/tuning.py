"""Every trial of every method at every ratio, in one table."""

from pathlib import Path

import pandas as pd

import _job
from unsee.core.files import write_text
from unsee.results.tables import tuning
from unsee.results.tables.files import to_markdown, write_csv

_job.start(snakemake)
table = pd.concat(
    [
        pd.read_csv(file, keep_default_na=False, na_values=dict.fromkeys(tuning.NUMBERS, ""))
        for file in snakemake.input.ranked
    ]
)
write_csv(table, Path(snakemake.output.csv))
write_text(Path(snakemake.output.markdown), to_markdown(table, tuning.NOTE))
_job.done(snakemake)
