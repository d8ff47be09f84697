# On request: does it stay forgotten? Models under attack, and the traces of their training.


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
        csv=report(
            "results/robustness.csv",
            caption="../report/robustness.rst",
            category="Tables",
        ),
        markdown="results/robustness.md",
        latex="results/robustness.tex",
        figures=in_report(figure_files(ROBUSTNESS_FIGURES)),
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


# People whom no model met, to compare the forgotten people with.
rule write_strangers:
    input:
        portraits=inputs.on_request("write_strangers", plan.portraits),
        damaged=inputs.rerun_if_damaged("write_strangers"),
    output:
        [f"results/benchmark/strangers/{table}" for table in STRANGERS],
    log:
        "results/jobs/write_strangers.log",
    benchmark:
        "results/jobs/write_strangers.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("write_strangers")
    resources:
        **plan.resources_of("write_strangers"),
    params:
        **plan.params("write_strangers"),
    script:
        "../scripts/write_strangers.py"


rule score_pairs:
    input:
        tables=inputs.on_request("score_pairs", TABLES),
        strangers=plan.benchmark.strangers,
        splits=inputs.per_run(plan.splits_of_members),
        model=plan.model.files,
        adapters=inputs.per_run(plan.adapter_files),
        damaged=inputs.rerun_if_damaged("score_pairs"),
    output:
        f"results/models/{RUN}/membership.parquet",
    log:
        f"results/jobs/score_pairs/{RUN}.log",
    benchmark:
        f"results/jobs/score_pairs/{RUN}.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("score_pairs")
    resources:
        **plan.resources_of("score_pairs"),
    params:
        **plan.params("score_pairs"),
    script:
        "../scripts/score_pairs.py"


rule membership:
    input:
        splits=inputs.on_request("membership", plan.membership_splits),
        scores=plan.files(plan.membership_runs, "membership.parquet"),
        damaged=inputs.rerun_if_damaged("membership"),
    output:
        csv=report(
            "results/membership.csv",
            caption="../report/membership.rst",
            category="Tables",
        ),
        markdown="results/membership.md",
        latex="results/membership.tex",
    log:
        "results/jobs/membership.log",
    benchmark:
        "results/jobs/membership.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("membership")
    resources:
        **plan.resources_of("membership"),
    params:
        **plan.params("membership"),
    script:
        "../scripts/membership.py"
