"""Every figure, as PDF, SVG and PNG, and how far the metrics agree."""

from pathlib import Path

import pandas as pd

import job
from unsee.results import figures
from unsee.results.agreement import agreement
from unsee.results.explorer import forgotten_people
from unsee.results.tables import write_csv

job.start(snakemake)
given, runs = snakemake.input, [tuple(run) for run in snakemake.params.runs]
tables = {Path(file).stem: pd.read_parquet(file) for file in given.tables}
answers, summary = pd.read_parquet(given.answers), pd.read_csv(given.summary)
metrics = dict(zip(runs, map(pd.read_parquet, given.metrics), strict=True))
predictions = dict(zip(runs, map(pd.read_parquet, given.predictions), strict=True))
agreed, methods = agreement(pd.read_csv(given.scores)), list(summary["method"].unique())
people = forgotten_people(tables, predictions, int(summary["forget_percent"].iloc[0]), runs[0][-1])
write_csv(agreed, Path(snakemake.output.agreement))
for name, figure in {
    "trade_off": figures.trade_off(summary),
    "ratios": figures.ratios(answers),
    "modalities": figures.modalities(answers),
    "training": figures.training(metrics),
    "costs": figures.costs(pd.read_csv(given.costs)),
    "portraits": figures.portraits(people, methods),
    "agreement": figures.agreement(agreed),
}.items():
    figures.save(figure, Path(snakemake.output.figures[0]).parent, name)
job.done(snakemake)
