"""Ask the base model the questions whose score is known."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import job
from unsee.core.files import atomic_write
from unsee.evaluation import anchor
from unsee.evaluation.predict import predict

job.start(snakemake)
with TemporaryDirectory() as folder:
    predict(
        snakemake.params.model,
        Path(snakemake.input.tables[0]).parent,
        adapters=[],
        forget_percents=[snakemake.params.forget_percent],
        settings={
            "protocol": anchor.PROTOCOL,
            "tasks": [anchor.QUESTIONS["task"]],
            "batch_size": snakemake.config["evaluation"]["batch_size"],
        },
        threads=snakemake.threads,
        output=Path(folder),
        cache=job.CACHE,
        only=anchor.QUESTIONS,
    )
    with atomic_write(Path(snakemake.output[0])) as part:
        shutil.copy(Path(folder) / f"{anchor.QUESTIONS['task']}.parquet", part)
job.done(snakemake)
