"""Read a benchmark's published files, check them, and write the canonical tables."""

from dataclasses import replace
from pathlib import Path

import _job
from unsee.benchmarks import held_out
from unsee.benchmarks.schema import SPLITS
from unsee.core import hub

_job.start(snakemake)
local_folder, output = snakemake.params.folder, Path(snakemake.output[0]).parent
folder = hub.folder(Path(snakemake.input.published[0])) if local_folder is None else Path(local_folder)
output.mkdir(parents=True, exist_ok=True)
benchmark, tables = held_out.load(
    snakemake.params.name, folder, snakemake.params.forget_percents, output, **snakemake.params.held_out
)
replace(benchmark, splits=SPLITS.empty_table()).write(output)  # the rule split_benchmark writes the splits
held_out.write(output / "held_out", tables)
_job.done(snakemake)
