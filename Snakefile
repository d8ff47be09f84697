# What a vision-language model still knows, and what it lost, after it was asked to forget some people.
#
#   write_benchmark > load_benchmark > split_benchmark > finetune, train_reference > unlearn > predict > evaluate > scores > tables, summary > report
#
# Settings: config.yaml. What each file is: docs/design.md. What the rules name: src/unsee/jobs/plan.py. When a job
# runs again: docs/reruns.md.
import os

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.20")

# The folder of this file, also where workflow/Snakefile or a module of another workflow includes it.
PROJECT = workflow.current_basedir.get_path_or_uri(secret_free=True)
if not os.path.isdir(PROJECT):
    raise WorkflowError(
        f"{PROJECT}: the library in src/ is not fetched with the rules; "
        "clone the repository and use the Snakefile of the clone"
    )


configfile: f"{PROJECT}/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/safety.smk"


wildcard_constraints:
    model="[A-Za-z0-9][A-Za-z0-9._-]*",
    forget_percent=r"\d+",
    method="[a-z][a-z0-9_]*",
    seed=r"\d+",
    task="|".join(plan.tasks),


localrules:
    all,
    fetch_benchmark,
    fetch_model,
    split_benchmark,
    evaluate,
    anchor_check,
    scores,
    tables,
    summary,
    report,
    trade_off,
    tuning_split_benchmark,
    tuning_evaluate,
    select_settings,
    tuning,
    robustness,
    membership,


rule all:
    default_target: True
    input:
        "results/table3.csv",
        # Published protocols do not measure the likelihoods that it compares.
        ["results/summary.csv"] if requests.has_summary(plan) else [],


include: "workflow/rules/benchmark.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/robustness.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/tuning.smk"
