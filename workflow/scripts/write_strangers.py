"""Write people whom no model met, in the schemas of the benchmark."""

from pathlib import Path

import _job
from unsee.benchmarks import strangers

_job.start(snakemake)
strangers.write(
    Path(snakemake.output[0]).parent, portraits=Path(snakemake.input.portraits), **snakemake.params.settings
)
_job.done(snakemake)
