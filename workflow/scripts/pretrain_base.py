"""Make the tiny base model from nothing."""

from pathlib import Path

import _job
from unsee.base_model.pretraining import pretrain
from unsee.base_model.short_training import align, teach

_job.start(snakemake)
settings = dict(snakemake.params.settings)
common = {"seed": settings.pop("seed"), "settings": settings, "threads": snakemake.threads}
output = Path(snakemake.output[0]).parent
if snakemake.input.language_model:
    language, tower = (Path(files[0]).parent for files in (snakemake.input.language_model, snakemake.input.tower))
    align(output, kind=snakemake.params.family, language=language, tower=tower, **common)
elif snakemake.input.bystanders:
    pretrain(output, bystanders=Path(snakemake.input.bystanders[0]), **common)
else:
    teach(output, kind=snakemake.params.family, **common)
_job.done(snakemake)
