"""What the training of each model cost."""

from pathlib import Path

import job
from unsee.results.tables.costs import TrainedRun, collect
from unsee.results.tables.files import write_csv

job.start(snakemake)
files = zip(snakemake.params.runs, snakemake.input.times, snakemake.input.manifests, strict=True)
runs = [TrainedRun(snakemake.params.model, *run, Path(time), Path(manifest)) for run, time, manifest in files]
write_csv(collect(runs), Path(snakemake.output[0]))
job.done(snakemake)
