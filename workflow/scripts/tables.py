"""The results table, what each part of a method is worth, what each run cost, and what the benchmark holds."""

from pathlib import Path

import pandas as pd

import _job
from unsee.benchmarks import statistics
from unsee.core.files import write_text
from unsee.jobs import receipts
from unsee.results.tables.ablation import ablation
from unsee.results.tables.costs import TrainedRun, collect
from unsee.results.tables.files import write_csv
from unsee.results.tables.table3 import table3, to_markdown

_job.start(snakemake)
given, params, output = snakemake.input, snakemake.params, snakemake.output
parts = receipts.check(params.receipts)
scores = pd.read_csv(given.scores)
table = table3(scores, params.methods)
write_csv(table, Path(output.csv))
write_text(Path(output.markdown), to_markdown(table))
write_csv(ablation(scores, params.methods), Path(output.ablation))
files = zip(params.runs, given.times, given.manifests, strict=True)
runs = [TrainedRun(params.model, *run, Path(time), Path(manifest)) for run, time, manifest in files]
write_csv(collect(runs), Path(output.costs))
counts = statistics.count(Path(given.tables[0]).parent, params.forget_percents)
write_csv(counts, Path(output.statistics))
_job.done(snakemake, parts=parts, configuration=params.configuration)
