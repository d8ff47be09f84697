"""Make the vanilla model forget some people by one method."""

from pathlib import Path

import _job
from unsee.training import processes
from unsee.tuning.selection import read_selection, with_selection
from unsee.unlearning.run import unlearn

_job.start(snakemake)
reference, selection = snakemake.params.reference, read_selection(snakemake.input.selected)
settings = with_selection(snakemake.params.settings, selection)
arguments = dict(
    model=snakemake.params.model,
    benchmark=Path(snakemake.input.tables[0]).parent,
    vanilla=Path(snakemake.params.vanilla),
    reference=None if reference is None else Path(reference),
    method=snakemake.params.method,
    forget_percent=int(snakemake.wildcards.forget_percent),
    settings=settings,
    seed=int(snakemake.wildcards.seed),
    threads=snakemake.threads,
    output=Path(snakemake.output.manifest).parent,
    cache=_job.CACHE,
    checkpoint_dir=_job.checkpoint_dir(snakemake),
)
processes.launch(unlearn, arguments, settings.get("num_processes", 1))
_job.done(snakemake, **({"selection": selection} if selection else {}))
