"""The splits of every ratio in one table."""

import pyarrow as pa
import pyarrow.parquet as pq

import job

job.start(snakemake)
pq.write_table(pa.concat_tables([pq.read_table(file) for file in snakemake.input]), snakemake.output[0])
job.done(snakemake)
