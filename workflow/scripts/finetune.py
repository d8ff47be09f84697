"""Teach the base model everybody (vanilla), or everybody but the people to be forgotten (retain)."""

from pathlib import Path

import job
from unsee.training.finetune import finetune

job.start(snakemake)
finetune(
    snakemake.params.model,
    Path(snakemake.input.tables[0]).parent,
    forget_percent=int(snakemake.wildcards.forget_percent),
    role=snakemake.wildcards.method,
    settings=snakemake.params.settings,
    seed=int(snakemake.wildcards.seed),
    threads=snakemake.threads,
    output=Path(snakemake.output.manifest).parent,
    cache=job.CACHE,
    unfinished=job.unfinished(snakemake),
)
