"""Gather every model's scores in one table, set by set, and those of the single answers in another."""

from pathlib import Path

import pandas as pd

import job
from unsee.core.files import atomic_write
from unsee.evaluation.protocols.load import load_protocol
from unsee.jobs import receipts
from unsee.results.tables.scores import Run, gather, summarise
from unsee.results.tables.table3 import write_csv

job.start(snakemake)
receipts.check(snakemake.params.receipts)
benchmark = Path(snakemake.input.tables[0]).parent
files = zip(snakemake.params.runs, snakemake.input.item_scores, strict=True)
items = gather(
    [Run(snakemake.params.model, *run, Path(file)) for run, file in files],
    pd.read_parquet(benchmark / "questions.parquet"),
    pd.read_parquet(benchmark / "splits.parquet"),
    snakemake.params.forget_percents,
    load_protocol(snakemake.params.settings),
)
with atomic_write(Path(snakemake.output.answers)) as part:
    items.to_parquet(part, index=False)
write_csv(summarise(items, snakemake.params.interval), Path(snakemake.output.scores))
job.done(snakemake)
