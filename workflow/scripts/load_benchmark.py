"""Read a benchmark's published files, check them, and write the canonical tables."""

from pathlib import Path

import job
from unsee.benchmarks import mllmu

job.start(snakemake)
published = Path(snakemake.input[0])
folder = published if published.is_dir() else published.parents[1]
benchmark = mllmu.load(folder, snakemake.params.forget_percents)
benchmark.write(Path(snakemake.output[0]).parent)
