"""One page with everything."""

import json
from pathlib import Path

import pandas as pd

import job
from unsee.core.files import write_text
from unsee.results.page import explorer, people, report

job.start(snakemake)
given, runs = snakemake.input, [tuple(run) for run in snakemake.params.runs]
tables = {Path(file).stem: pd.read_parquet(file) for file in given.tables}
predictions = dict(zip(runs, map(pd.read_parquet, given.predictions), strict=True))
scores = dict(zip(runs, map(pd.read_parquet, given.item_scores), strict=True))
names = ("summary", "table3", "scores", "differences", "costs", "statistics", "ranking")
read = {name: pd.read_csv(given[name]) for name in names}
page = report.render(
    tables=read,
    utility=snakemake.params.utility,
    explorer=explorer.explorer(tables, predictions, scores),
    person=people.one_person(tables, predictions, scores, read["ranking"]),
    figures={Path(file).stem: Path(file) for file in given.figures},
    configuration=snakemake.params.configuration,
    manifests={
        f"forget{percent}/{method}/seed{seed}": json.loads(Path(file).read_text(encoding="utf-8"))
        for (percent, method, seed), file in zip(runs, given.manifests, strict=True)
    },
)
write_text(Path(snakemake.output[0]), page)
job.done(snakemake)
