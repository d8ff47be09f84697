"""Convert a package's pretrained decoder to a checkpoint folder, once."""

from pathlib import Path

import job
from unsee.base_model.smollm2 import convert

job.start(snakemake)
convert(Path(snakemake.output[0]).parent)
job.done(snakemake)
