"""Attack one model, and ask it about the people that it was to forget."""

from pathlib import Path

import _job
from unsee.attacks.run import attack_model

_job.start(snakemake)
attack_model(
    snakemake.params.model,
    Path(snakemake.input.tables[0]).parent,
    adapters=[Path(adapter) for adapter in snakemake.params.adapters],
    attack=snakemake.params.attack,
    options=snakemake.params.options,
    forget_percent=int(snakemake.wildcards.forget_percent),
    seed=int(snakemake.wildcards.seed),
    # Not a parameter of the rule: it changes no result, and so runs nothing again.
    settings=snakemake.params.settings | {"batch_size": snakemake.config["evaluation"]["batch_size"]},
    division=snakemake.params.division,
    threads=snakemake.threads,
    output=Path(snakemake.output[0]),
    cache=_job.CACHE,
)
_job.done(snakemake)
