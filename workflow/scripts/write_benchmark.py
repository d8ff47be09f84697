"""Write the synthetic benchmark in the published layout."""

from pathlib import Path

import job

from unsee.benchmarks import synthetic

job.start(snakemake)
synthetic.write(
    Path(snakemake.output[0]),
    people=snakemake.params.people,
    celebrities=snakemake.params.celebrities,
    forget_percents=snakemake.params.forget_percents,
    seed=snakemake.params.seed,
    portraits=Path(snakemake.input.portraits),
)
