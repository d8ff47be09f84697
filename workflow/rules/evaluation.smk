# Every run answers its questions once, for all tasks. Each task is then scored by a job of its own, which loads no model.


rule predict:
    input:
        tables=TABLES,
        splits=inputs.per_run(plan.evaluation_splits),
        model=plan.model.files,
        adapters=inputs.per_run(plan.adapter_files),
        damaged=inputs.rerun_if_damaged("predict"),
    output:
        [f"results/models/{RUN}/{file}" for file in plan.predictions],
    log:
        f"results/jobs/predict/{RUN}.log",
    benchmark:
        f"results/jobs/predict/{RUN}.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("predict")
    resources:
        **plan.resources_of("predict"),
    params:
        **plan.params("predict"),
    script:
        "../scripts/predict.py"


rule evaluate:
    input:
        predictions=f"results/models/{RUN}/predictions/{{task}}.parquet",
        questions=QUESTIONS,
        damaged=inputs.rerun_if_damaged("evaluate"),
    output:
        f"results/models/{RUN}/scores/{{task}}.parquet",
    log:
        f"results/jobs/evaluate/{RUN}/{{task}}.log",
    benchmark:
        f"results/jobs/evaluate/{RUN}/{{task}}.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("evaluate")
    resources:
        **plan.resources_of("evaluate"),
    params:
        **plan.params("evaluate"),
    script:
        "../scripts/evaluate.py"


# On request: does the base model have the score that is known of it?
rule anchor_check:
    input:
        questions=QUESTIONS,
        splits=plan.benchmark.splits,
        predictions=inputs.on_request("anchor_check", plan.anchor_predictions),
        damaged=inputs.rerun_if_damaged("anchor_check"),
    output:
        "results/anchor_check.csv",
    log:
        "results/jobs/anchor_check.log",
    benchmark:
        "results/jobs/anchor_check.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("anchor_check")
    resources:
        **plan.resources_of("anchor_check"),
    params:
        **plan.params("anchor_check"),
    script:
        "../scripts/anchor_check.py"


# On request: each unlearned model at parts of its update, for the comparison at equal utility.
rule rescale:
    input:
        tables=inputs.on_request("rescale", TABLES),
        splits=inputs.per_run(plan.evaluation_splits),
        model=plan.model.files,
        adapters=inputs.per_run(plan.adapter_files),
        damaged=inputs.rerun_if_damaged("rescale"),
    output:
        f"results/models/{RUN}/rescaled.parquet",
    log:
        f"results/jobs/rescale/{RUN}.log",
    benchmark:
        f"results/jobs/rescale/{RUN}.tsv"
    wildcard_constraints:
        method=plan.method_pattern,
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("rescale")
    resources:
        **plan.resources_of("rescale"),
    params:
        **plan.params("rescale"),
    script:
        "../scripts/rescale.py"
