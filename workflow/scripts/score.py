"""Score one model's answers."""

from pathlib import Path

import pandas as pd

import _job
from unsee.core.files import atomic_write
from unsee.evaluation.scoring import score_predictions

_job.start(snakemake)
items = score_predictions(
    pd.read_parquet(snakemake.input.predictions),
    pd.read_parquet(snakemake.input.questions),
    snakemake.params.settings,
)
with atomic_write(Path(snakemake.output[0])) as part:
    items.to_parquet(part, index=False)
_job.done(snakemake)
