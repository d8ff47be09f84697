"""One page with everything."""

import json
from pathlib import Path

import pandas as pd

import job
from unsee.results import explorer, report

job.start(snakemake)
given, runs = snakemake.input, [tuple(run) for run in snakemake.params.runs]
tables = {Path(file).stem: pd.read_parquet(file) for file in given.tables}
predictions = dict(zip(runs, map(pd.read_parquet, given.predictions), strict=True))
scores = dict(zip(runs, map(pd.read_parquet, given.item_scores), strict=True))
page = report.render(
    **{
        name: pd.read_csv(given[name]) for name in ("summary", "table3", "scores", "differences", "costs", "statistics")
    },
    explorer=explorer.explorer(tables, predictions, scores),
    figures={Path(file).stem: Path(file) for file in given.figures},
    configuration=snakemake.params.configuration,
    manifests={
        f"forget{percent}/{method}/seed{seed}": json.loads(Path(file).read_text(encoding="utf-8"))
        for (percent, method, seed), file in zip(runs, given.manifests, strict=True)
    },
)
Path(snakemake.output[0]).write_text(page, encoding="utf-8")
job.done(snakemake)
