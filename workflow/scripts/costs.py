"""What each model took to make."""

from pathlib import Path

import job
from unsee.results.tables.costs import collect
from unsee.results.tables.files import write_csv

job.start(snakemake)
files = zip(snakemake.params.runs, snakemake.input.times, snakemake.input.manifests, strict=True)
costs = collect(
    [
        {
            "model": snakemake.params.model,
            "forget_percent": percent,
            "method": method,
            "seed": seed,
            "benchmark": time,
            "manifest": manifest,
        }
        for (percent, method, seed), time, manifest in files
    ]
)
write_csv(costs, Path(snakemake.output[0]))
job.done(snakemake)
