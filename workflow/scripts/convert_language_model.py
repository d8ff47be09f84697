"""Convert a package's pretrained decoder to a checkpoint folder, once."""

from pathlib import Path

import _job
from unsee.base_model.smollm2 import convert

_job.start(snakemake)
convert(Path(snakemake.output[0]).parent)
_job.done(snakemake)
