"""Ask one model all its questions."""

from pathlib import Path
from tempfile import TemporaryDirectory

import _job
from unsee.evaluation.predict import join_tasks, predict

_job.start(snakemake)
with TemporaryDirectory() as folder:
    predict(
        snakemake.params.model,
        Path(snakemake.input.tables[0]).parent,
        adapters=[Path(adapter) for adapter in snakemake.params.adapters],
        forget_percents=snakemake.params.forget_percents,
        # Not a parameter of the rule: it changes no result, and so runs nothing again.
        settings=snakemake.params.settings | {"batch_size": snakemake.config["evaluation"]["batch_size"]},
        threads=snakemake.threads,
        output=Path(folder),
        cache=_job.CACHE,
        checkpoint_dir=lambda: _job.checkpoint_dir(snakemake),
    )
    join_tasks(Path(folder), Path(snakemake.output[0]))
_job.done(snakemake)
