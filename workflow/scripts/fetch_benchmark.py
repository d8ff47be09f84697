"""Fetch a published benchmark's folders at the pinned revision."""

from pathlib import Path

import job
from unsee.core import hub

job.start(snakemake)
hub.fetch(
    snakemake.params.repository,
    snakemake.params.revision,
    kind="dataset",
    patterns=snakemake.params.patterns,
    key="benchmark.path",
    output=Path(snakemake.output[0]),
)
job.done(snakemake)
