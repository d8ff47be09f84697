"""Ask the base model the questions whose score is known."""

from pathlib import Path

import job
from unsee.evaluation import anchor
from unsee.evaluation.engine import predict

job.start(snakemake)
predict(
    snakemake.params.model,
    Path(snakemake.input.tables[0]).parent,
    adapters=[],
    forget_percents=[snakemake.params.forget_percent],
    settings={"protocol": anchor.PROTOCOL, "batch_size": snakemake.config["evaluation"]["batch_size"]},
    threads=snakemake.threads,
    output=Path(snakemake.output[0]),
    cache=job.CACHE,
    only=anchor.QUESTIONS,
)
job.done(snakemake)
