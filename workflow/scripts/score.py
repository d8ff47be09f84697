"""Score one model's answers."""

import pandas as pd

import job
from unsee.evaluation.protocols import make
from unsee.evaluation.scoring import score_predictions

job.start(snakemake)
items = score_predictions(
    pd.read_parquet(snakemake.input.predictions),
    pd.read_parquet(snakemake.input.questions),
    make(snakemake.params.settings),
)
items.to_parquet(snakemake.output[0], index=False)
job.done(snakemake)
