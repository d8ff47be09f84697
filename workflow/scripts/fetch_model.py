"""Fetch a published checkpoint at the pinned revision."""

from pathlib import Path

import _job
from unsee.core import hub
from unsee.models import checkpoints

_job.start(snakemake)
hub.fetch(
    snakemake.params.repository,
    snakemake.params.revision,
    kind="model",
    patterns=hub.CHECKPOINT,
    key="model.path",
    output=Path(snakemake.output[0]),
)
# Before anything is trained on it.
checkpoints.check(hub.folder(Path(snakemake.output[0])), snakemake.params.family)
_job.done(snakemake)
