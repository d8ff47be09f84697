"""Methods at equal utility: the curves, the ranking and the figure."""

from pathlib import Path

import pandas as pd

import _job
from unsee.results.page.write_trade_off import write_trade_off
from unsee.results.statistics.trade_off import score_rescaled

_job.start(snakemake)
questions = pd.read_parquet(snakemake.input.questions)
scaled = {
    tuple(run): score_rescaled(pd.read_parquet(file), questions, snakemake.params.settings)
    for run, file in zip(snakemake.params.runs, snakemake.input.rescaled, strict=True)
}
write_trade_off(
    Path(snakemake.output.curves).parent,
    items=pd.read_parquet(snakemake.input.answers),
    scaled=scaled,
    utility=snakemake.params.utility,
    methods=snakemake.params.methods,
    sees=snakemake.params.sees,
    people_note=snakemake.params.people_note,
)
_job.done(snakemake)
