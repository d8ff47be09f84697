"""Try one method with some settings on people who are not reported."""

from pathlib import Path

import _job
from unsee.tuning.trial import run_trial

_job.start(snakemake)
params = snakemake.params
run_trial(
    params.model,
    Path(snakemake.input.tables[0]).parent,
    vanilla=Path(params.vanilla),
    reference=None if params.reference is None else Path(params.reference),
    method=params.method,
    forget_percent=int(snakemake.wildcards.forget_percent),
    settings=params.settings,
    seed=int(snakemake.wildcards.seed),
    threads=snakemake.threads,
    output=Path(snakemake.output[0]),
    # The size of a batch is not a parameter of the rule: it changes no result, and so runs nothing again.
    evaluation=params.evaluation | {"batch_size": snakemake.config["evaluation"]["batch_size"]},
    cache=_job.CACHE,
    checkpoint_dir=_job.checkpoint_dir(snakemake),
)
_job.done(snakemake)
