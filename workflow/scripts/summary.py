"""Every method compared with vanilla and the retain-only model, in single scores and in a few numbers."""

from pathlib import Path

import pandas as pd

import job
from unsee.core.files import write_text
from unsee.results.statistics.differences import differences
from unsee.results.tables import latex
from unsee.results.tables.files import write_csv
from unsee.results.tables.scores import over_seeds
from unsee.results.tables.summary import summary, to_markdown
from unsee.results.tables.table3 import table3

job.start(snakemake)
items, methods = pd.read_parquet(snakemake.input.answers), snakemake.params.methods
compared = differences(items)
table = summary(items, compared, methods)
write_csv(over_seeds(items), Path(snakemake.output.over_seeds))
write_csv(compared, Path(snakemake.output.differences))
write_csv(table, Path(snakemake.output.csv))
write_text(Path(snakemake.output.markdown), to_markdown(table))
paper = latex.to_latex(table3(pd.read_csv(snakemake.input.scores), methods), latex.marks(items, compared))
write_text(Path(snakemake.output.latex), paper)
job.done(snakemake)
