"""Make the tiny base model from nothing."""

from pathlib import Path

import job
from unsee.models.pretraining import pretrain

job.start(snakemake)
settings = dict(snakemake.params.settings)
pretrain(
    Path(snakemake.output[0]).parent,
    bystanders=Path(snakemake.input.bystanders),
    seed=settings.pop("seed"),
    settings=settings,
    threads=snakemake.threads,
)
