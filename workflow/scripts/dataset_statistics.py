"""Count what the benchmark has."""

from pathlib import Path

import job
from unsee.benchmarks import statistics

job.start(snakemake)
with written(Path(snakemake.output[0])) as part:
    statistics.count(Path(snakemake.input.tables[0]).parent).to_csv(part, index=False)
job.done(snakemake)
