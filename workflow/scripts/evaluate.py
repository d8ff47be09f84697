"""Score the answers of one model to one task."""

from pathlib import Path

import pyarrow.parquet as pq

import _job
from unsee.core.files import atomic_write
from unsee.evaluation.scoring import score_task

_job.start(snakemake)
scores = score_task(
    snakemake.wildcards.task,
    pq.read_table(snakemake.input.predictions),
    pq.read_table(snakemake.input.questions),
    snakemake.params.settings,
)
with atomic_write(Path(snakemake.output[0])) as part:
    pq.write_table(scores, part)
_job.done(snakemake)
