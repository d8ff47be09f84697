"""Read a benchmark's published files, check them, and write the canonical tables."""

from pathlib import Path

import _job
from unsee.benchmarks import published
from unsee.core import hub

_job.start(snakemake)
local_folder, output = snakemake.params.folder, Path(snakemake.output[0]).parent
folder = hub.folder(Path(snakemake.input.published[0])) if local_folder is None else Path(local_folder)
output.mkdir(parents=True, exist_ok=True)
published.load(snakemake.params.name, folder, snakemake.params.forget_percents, output).write(output)
_job.done(snakemake)
