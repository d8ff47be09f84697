"""Who is forgotten at one ratio: named in the configuration, drawn, or read from a published benchmark."""

from pathlib import Path

import pyarrow.compute as pc

import _job
from unsee.benchmarks import coverage, held_out, published, splits
from unsee.benchmarks.tables import read_table
from unsee.core import hub

_job.start(snakemake)
local_folder, output = snakemake.params.folder, Path(snakemake.output[0])
tables = Path(snakemake.input.tables[0]).parent
people = read_table(tables, "people", ["person_id", "group"])
ids = sorted(people.filter(pc.equal(people["group"], "fictitious"))["person_id"].to_pylist())
percent = int(snakemake.wildcards.forget_percent)
request = snakemake.params.forget
if request:
    table = splits.request_split_table(ids, percent, request)
elif snakemake.params.seed is not None:
    table = splits.draw_split_table(ids, percent, snakemake.params.seed)
else:
    folder = hub.folder(Path(snakemake.input.published[0])) if local_folder is None else Path(local_folder)
    table = published.read_split(
        snakemake.params.name, folder, percent, ids, held_out.read_ids(snakemake.input.held_out)
    )
coverage.write_split(tables, table, request or [], output)
_job.done(snakemake)
