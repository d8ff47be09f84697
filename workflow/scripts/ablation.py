"""The ablation table, over seeds."""

from pathlib import Path

import pandas as pd

import job
from unsee.results.tables.ablation import ablation
from unsee.results.tables.files import write_csv

job.start(snakemake)
write_csv(ablation(pd.read_csv(snakemake.input.scores), snakemake.params.methods), Path(snakemake.output[0]))
job.done(snakemake)
