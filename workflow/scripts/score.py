"""Score one model's answers."""

from pathlib import Path

import pandas as pd

import job
from unsee.evaluation.scoring import score_predictions
from unsee.files import written

job.start(snakemake)
items = score_predictions(
    pd.read_parquet(snakemake.input.predictions),
    pd.read_parquet(snakemake.input.questions),
    cloze_rule=snakemake.params.cloze_rule,
)
with written(Path(snakemake.output[0])) as part:
    items.to_parquet(part, index=False)
