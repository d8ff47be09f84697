"""Write the synthetic benchmark in the published layout."""

from pathlib import Path

import _job
from unsee.benchmarks import synthetic

_job.start(snakemake)
synthetic.write(
    Path(snakemake.output[0]).parents[1], portraits=Path(snakemake.input.portraits), **snakemake.params.settings
)
_job.done(snakemake)
