# On request: does it stay forgotten? Models under attack.


# One rule for every attack: what an attack changes and takes is read from its source file.
rule attack:
    input:
        tables=inputs.on_request("attack", TABLES),
        splits=inputs.per_run(plan.evaluation_splits),
        model=plan.model.files,
        adapters=inputs.per_run(plan.adapter_files),
        damaged=inputs.rerun_if_damaged("attack"),
    output:
        f"results/models/{RUN}/attacks/{{attack}}.parquet",
    log:
        f"results/jobs/attack/{RUN}/{{attack}}.log",
    benchmark:
        f"results/jobs/attack/{RUN}/{{attack}}.tsv"
    wildcard_constraints:
        method=plan.attacked_pattern,
        attack=plan.attack_pattern,
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("attack")
    resources:
        **plan.resources_of("attack"),
    params:
        **plan.params("attack"),
    script:
        "../scripts/attack.py"


# What attacks bring back, beyond what they give the retain-only model.
rule robustness:
    input:
        questions=QUESTIONS,
        answers=inputs.on_request("robustness", "results/scores.parquet"),
        summary="results/summary.csv",
        attacked=plan.attack_files(plan.attacked_runs),
        damaged=inputs.rerun_if_damaged("robustness"),
    output:
        csv="results/robustness.csv",
        markdown="results/robustness.md",
        latex="results/robustness.tex",
        figures=figure_files(ROBUSTNESS_FIGURES),
    log:
        "results/jobs/robustness.log",
    benchmark:
        "results/jobs/robustness.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("robustness")
    resources:
        **plan.resources_of("robustness"),
    params:
        **plan.params("robustness"),
    script:
        "../scripts/robustness.py"
