"""Write one model's scores as the published evaluation does."""

import json
from pathlib import Path

import pandas as pd

import job
from unsee.core.files import write_text
from unsee.evaluation import official

job.start(snakemake)
given, percent = snakemake.input, int(snakemake.wildcards.forget_percent)
questions, splits = pd.read_parquet(given.questions), pd.read_parquet(given.splits)
written = official.generations(pd.read_parquet(given.predictions), questions, splits, percent)
contents = [official.results(pd.read_parquet(given.item_scores), questions, splits, percent), *written.values()]
for file, content in zip(snakemake.output, contents, strict=True):
    write_text(Path(file), json.dumps(content, indent=4, ensure_ascii=False) + "\n")
job.done(snakemake)
