"""Score the training pairs of forgotten people and of strangers with one model."""

from pathlib import Path

import _job
from unsee.membership.score_pairs import score_pairs

_job.start(snakemake)
score_pairs(
    snakemake.params.model,
    Path(snakemake.input.tables[0]).parent,
    Path(snakemake.input.strangers[0]).parent,
    adapters=[Path(adapter) for adapter in snakemake.params.adapters],
    forget_percents=snakemake.params.forget_percents,
    k_percent=snakemake.params.k_percent,
    threads=snakemake.threads,
    output=Path(snakemake.output[0]),
    cache=_job.CACHE,
)
_job.done(snakemake)
