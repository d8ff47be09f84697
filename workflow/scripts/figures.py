"""Every figure, as PDF, SVG and PNG, and how far the metrics agree."""

from pathlib import Path

import pandas as pd

import job
from unsee.results.page import figures, figures_trade_off
from unsee.results.page.drawing import save
from unsee.results.page.people import forgotten_people
from unsee.results.statistics.agreement import agreement
from unsee.results.tables.files import write_csv

job.start(snakemake)
given, runs = snakemake.input, [tuple(run) for run in snakemake.params.runs]
tables = {Path(file).stem: pd.read_parquet(file) for file in given.tables}
answers, summary = pd.read_parquet(given.answers), pd.read_csv(given.summary)
every = [dict(zip(runs, map(pd.read_parquet, files), strict=True)) for files in (given.metrics, given.predictions)]
agreed, methods = agreement(pd.read_csv(given.scores)), list(summary["method"].unique())
people = forgotten_people(tables, every[1], int(summary["forget_percent"].iloc[0]), runs[0][-1])
write_csv(agreed, Path(snakemake.output.agreement))
for name, figure in {
    "trade_off": figures_trade_off.trade_off(summary),
    "ratios": figures.ratios(answers),
    "modalities": figures.modalities(answers),
    "training": figures.training(every[0]),
    "costs": figures.costs(pd.read_csv(given.costs)),
    "portraits": figures.portraits(people, methods),
    "agreement": figures.agreement(agreed),
}.items():
    save(figure, Path(snakemake.output.figures[0]).parent, name)
job.done(snakemake)
