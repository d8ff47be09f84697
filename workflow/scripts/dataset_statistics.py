"""Count what the benchmark has."""

from pathlib import Path

import job
from unsee.benchmarks import statistics
from unsee.core.files import atomic_write

job.start(snakemake)
with atomic_write(Path(snakemake.output[0])) as part:
    statistics.count(Path(snakemake.input.tables[0]).parent).to_csv(part, index=False)
job.done(snakemake)
