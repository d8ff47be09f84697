"""The results table, what each part of a method is worth, what each run cost, and what the benchmark holds."""

from pathlib import Path

import pandas as pd

import _job
from unsee.benchmarks import statistics
from unsee.core.files import write_text
from unsee.jobs import receipts
from unsee.results.tables import ablation, costs, table3

_job.start(snakemake)
given, params, output = snakemake.input, snakemake.params, snakemake.output
parts = receipts.check(params.receipts)
scores = pd.read_csv(given.scores)
table = table3.table3(scores, params.methods)
table3.write_csv(table, Path(output.csv))
write_text(Path(output.markdown), table3.to_markdown(table))
table3.write_csv(ablation.ablation(scores, params.methods), Path(output.ablation))
runs = zip(params.runs, given.times, given.manifests, strict=True)
keys = ("model", "forget_percent", "method", "seed", "benchmark", "manifest")
rows = [dict(zip(keys, (params.model, *run, time, manifest), strict=True)) for run, time, manifest in runs]
table3.write_csv(costs.collect(rows), Path(output.costs))
counts = statistics.count(Path(given.tables[0]).parent, params.forget_percents)
table3.write_csv(counts, Path(output.statistics))
_job.done(snakemake, parts=parts, configuration=params.configuration)
