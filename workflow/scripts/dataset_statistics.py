"""Count what the benchmark has."""

from pathlib import Path

import job
from unsee.benchmarks import statistics

job.start(snakemake)
statistics.count(Path(snakemake.input.tables[0]).parent).to_csv(snakemake.output[0], index=False)
job.done(snakemake)
