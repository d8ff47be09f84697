"""Ask one unlearned model some questions again, at parts of its update."""

from pathlib import Path

import _job
from unsee.evaluation.rescaled import predict_rescaled

_job.start(snakemake)
vanilla, adapter = (Path(folder) for folder in snakemake.params.adapters)
predict_rescaled(
    snakemake.params.model,
    Path(snakemake.input.tables[0]).parent,
    vanilla=vanilla,
    adapter=adapter,
    scales=snakemake.params.scales,
    forget_percent=int(snakemake.wildcards.forget_percent),
    others=snakemake.params.others,
    tasks_of_others=snakemake.params.tasks_of_others,
    # Not a parameter of the rule: it changes no result, and so runs nothing again.
    settings=snakemake.params.settings | {"batch_size": snakemake.config["evaluation"]["batch_size"]},
    threads=snakemake.threads,
    output=Path(snakemake.output[0]),
    cache=_job.CACHE,
)
_job.done(snakemake)
