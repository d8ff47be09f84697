"""Ask one model all its questions."""

from pathlib import Path

import _job
from unsee.evaluation.engine import predict

_job.start(snakemake)
predict(
    snakemake.params.model,
    Path(snakemake.input.tables[0]).parent,
    adapters=[Path(folder) for folder in snakemake.params.adapters],
    forget_percents=snakemake.params.forget_percents,
    # Not a parameter of the rule: it changes no result, and so runs nothing again.
    settings=snakemake.params.settings | {"batch_size": snakemake.config["evaluation"]["batch_size"]},
    threads=snakemake.threads,
    output=Path(snakemake.output[0]),
    cache=_job.CACHE,
    checkpoint_dir=_job.checkpoint_dir(snakemake),
)
_job.done(snakemake)
