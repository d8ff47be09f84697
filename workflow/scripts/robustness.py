"""What attacks bring back of the forgotten people: the table, what it says, and the figures."""

from pathlib import Path

import pandas as pd

import _job
from unsee.results.page.write_robustness import write_robustness
from unsee.results.statistics.attacked import AttackedRun, score_attacked
from unsee.results.tables.files import split_by_run

_job.start(snakemake)
inputs, params = snakemake.input, snakemake.params
questions = pd.read_parquet(inputs.questions)
files = split_by_run([tuple(run) for run in params.runs], inputs.attacked)
attacks = list(params.attacks)
write_robustness(
    Path(snakemake.output.csv).parent,
    items=pd.read_parquet(inputs.answers),
    attacked={
        AttackedRun(*run, attack): score_attacked(pd.read_parquet(file), questions, params.settings)
        for run, of_run in files.items()
        for attack, file in zip(attacks, of_run, strict=True)
    },
    summary=pd.read_csv(inputs.summary),
    share=params.utility,
    methods=params.methods,
    attacks=attacks,
    sees=params.sees,
    people_note=params.people_note,
)
_job.done(snakemake)
