"""Ask one model all its questions; one file of answers per task."""

from pathlib import Path

import _job
from unsee.evaluation.predict import predict

_job.start(snakemake)
predict(
    snakemake.params.model,
    Path(snakemake.input.tables[0]).parent,
    adapters=[Path(adapter) for adapter in snakemake.params.adapters],
    forget_percents=snakemake.params.forget_percents,
    # Not a parameter of the rule: it changes no result, and so runs nothing again.
    settings=snakemake.params.settings | {"batch_size": snakemake.config["evaluation"]["batch_size"]},
    threads=snakemake.threads,
    output=Path(snakemake.output[0]).parent,
    cache=_job.CACHE,
    checkpoint_dir=lambda: _job.checkpoint_dir(snakemake),
)
_job.done(snakemake)
