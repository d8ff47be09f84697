# What a vision-language model still knows, and what it lost, after it was asked to forget some people.
#
#   write_benchmark > load_benchmark, split_benchmark > finetune (vanilla, retain) > unlearn > predict > score > scores > table3, summary > figures > report
#
# Settings: config.yaml. What each file is: docs/design.md. Functions of the rules: workflow/rules/common.smk, and
# when a job runs again: workflow/rules/identity.smk, docs/reruns.md.
from snakemake.utils import min_version

min_version("9.20")


configfile: f"{workflow.basedir}/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/identity.smk"
include: "workflow/rules/safety.smk"


wildcard_constraints:
    model="[A-Za-z0-9][A-Za-z0-9._-]*",
    forget_percent=r"\d+",
    method="[a-z][a-z0-9_]*",
    seed=r"\d+",


localrules:
    all,
    fetch_benchmark,
    fetch_model,
    split_benchmark,
    splits,
    dataset_statistics,
    score,
    official,
    anchor_check,
    scores,
    table3,
    ablation,
    summary,
    costs,
    figures,
    report,
    trade_off,


rule all:
    default_target: True
    input:
        "results/table3.csv",
        "results/costs.csv",
        # Compares likelihoods of options, which published protocols do not measure.
        ["results/summary.csv"] if config["evaluation"]["protocol"] == "unsee" else [],


include: "workflow/rules/benchmark.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/unlearning.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/trade_off.smk"
