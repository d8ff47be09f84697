"""Fetch a published checkpoint at the pinned revision."""

from pathlib import Path

import job
from unsee import hub

job.start(snakemake)
hub.fetch(
    snakemake.params.repository,
    snakemake.params.revision,
    kind="model",
    patterns=hub.CHECKPOINT,
    key="model.path",
    output=Path(snakemake.output[0]),
)
job.done(snakemake)
