"""Score one model's answers."""

import pandas as pd

import job
from unsee.evaluation.scoring import score_predictions

job.start(snakemake)
items = score_predictions(
    pd.read_parquet(snakemake.input.predictions),
    pd.read_parquet(snakemake.input.questions),
    cloze_rule=snakemake.params.cloze_rule,
)
items.to_parquet(snakemake.output[0], index=False)
job.done(snakemake)
