"""Fetch a published benchmark's folders at the pinned revision."""

from pathlib import Path

import _job
from unsee.core import hub

_job.start(snakemake)
hub.fetch(
    snakemake.params.repository,
    snakemake.params.revision,
    kind="dataset",
    patterns=snakemake.params.patterns,
    key="benchmark.path",
    output=Path(snakemake.output[0]),
)
_job.done(snakemake)
