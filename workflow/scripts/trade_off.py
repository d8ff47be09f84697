"""Methods at equal utility: the curves, the ranking and the figure."""

from pathlib import Path

import pandas as pd

import job
from unsee.core.files import write_text
from unsee.results.page.drawing import save
from unsee.results.page.figures_trade_off import equal_utility
from unsee.results.statistics.trade_off import score_rescaled, to_markdown, trade_off
from unsee.results.tables.table3 import write_csv

job.start(snakemake)
given, made, asked = snakemake.input, snakemake.output, snakemake.params
questions = pd.read_parquet(given.questions)
scaled = {
    tuple(run): score_rescaled(pd.read_parquet(file), questions, asked.settings)
    for run, file in zip(asked.runs, given.rescaled, strict=True)
}
curves, ranking = trade_off(pd.read_parquet(given.answers), scaled, asked.utility, asked.methods)
write_csv(curves, Path(made.curves))
write_csv(ranking, Path(made.ranking))
write_text(Path(made.markdown), to_markdown(ranking, asked.utility))
save(equal_utility(curves, asked.utility), Path(made.figures[0]).parent, "equal_utility")
job.done(snakemake)
