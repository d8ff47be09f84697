"""The splits of every ratio in one table."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import job
from unsee.core.files import atomic_write

job.start(snakemake)
with atomic_write(Path(snakemake.output[0])) as part:
    pq.write_table(pa.concat_tables([pq.read_table(file) for file in snakemake.input]), part)
job.done(snakemake)
