"""Teach the base model everybody (vanilla), or everybody but the people to be forgotten (retain)."""

from pathlib import Path

import _job
from unsee.training import processes
from unsee.training.finetune import finetune

_job.start(snakemake)
output, shared = Path(snakemake.output.manifest).parent, _job.shared_model(snakemake)
cost = shared.fetch(output) if shared else None
if cost is None:
    arguments = dict(
        model=snakemake.params.model,
        benchmark=Path(snakemake.input.tables[0]).parent,
        forget_percent=int(snakemake.wildcards.forget_percent),
        role="retain_only" if snakemake.wildcards.method == "retain" else "vanilla",
        settings=snakemake.params.settings,
        seed=int(snakemake.wildcards.seed),
        threads=snakemake.threads,
        output=output,
        cache=_job.CACHE,
        checkpoint_dir=_job.checkpoint_dir(snakemake),
    )
    processes.launch(finetune, arguments, snakemake.params.settings.get("num_processes", 1))
    if shared:
        shared.keep(output, _job.cost())
_job.done(snakemake, **({"shared": cost} if cost else {}))
