# The base model, what it becomes when it learns the people, and what it becomes when it forgets some of them.


rule convert_language_model:
    input:
        damaged=inputs.rerun_if_damaged("convert_language_model"),
    output:
        LANGUAGE_MODEL,
    log:
        "results/jobs/convert_language_model.log",
    benchmark:
        "results/jobs/convert_language_model.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("convert_language_model")
    resources:
        **plan.resources_of("convert_language_model"),
    params:
        **plan.params("convert_language_model"),
    script:
        "../scripts/convert_language_model.py"


rule pretrain_base:
    input:
        bystanders=plan.model.bystanders,
        language_model=plan.model.language_model,
        tower=plan.model.tower,
        portraits=plan.portraits,
        damaged=inputs.rerun_if_damaged("pretrain_base"),
    output:
        plan.model.built_files,
    log:
        "results/jobs/pretrain_base.log",
    benchmark:
        "results/jobs/pretrain_base.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("pretrain_base")
    resources:
        **plan.resources_of("pretrain_base"),
    params:
        **plan.params("pretrain_base"),
    script:
        "../scripts/pretrain_base.py"


rule fetch_model:
    input:
        damaged=inputs.rerun_if_damaged("fetch_model"),
    output:
        plan.model.record,
    log:
        "results/jobs/fetch_model.log",
    benchmark:
        "results/jobs/fetch_model.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("fetch_model")
    resources:
        **plan.resources_of("fetch_model"),
    params:
        **plan.params("fetch_model"),
    script:
        "../scripts/fetch_model.py"


# Everyone is learned: vanilla.
rule finetune:
    input:
        tables=TABLES,
        splits=inputs.per_run(plan.training_splits),
        model=plan.model.files,
        damaged=inputs.rerun_if_damaged("finetune"),
    output:
        f"results/models/{RUN}/adapter/adapter_config.json",
        f"results/models/{RUN}/adapter/adapter_model.safetensors",
        f"results/models/{RUN}/metrics.parquet",
        manifest=f"results/models/{RUN}/manifest.json",
    log:
        f"results/jobs/finetune/{RUN}.log",
    benchmark:
        f"results/jobs/finetune/{RUN}.tsv"
    wildcard_constraints:
        method="vanilla",
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("finetune")
    resources:
        **plan.resources_of("finetune"),
    params:
        **plan.params("finetune"),
    script:
        "../scripts/finetune.py"


# Everyone is learned but the people to forget: the retain-only model of a ratio.
rule train_reference:
    input:
        tables=TABLES,
        splits=inputs.per_run(plan.training_splits),
        model=plan.model.files,
        damaged=inputs.rerun_if_damaged("train_reference"),
    output:
        f"results/models/{RUN}/adapter/adapter_config.json",
        f"results/models/{RUN}/adapter/adapter_model.safetensors",
        f"results/models/{RUN}/metrics.parquet",
        manifest=f"results/models/{RUN}/manifest.json",
    log:
        f"results/jobs/train_reference/{RUN}.log",
    benchmark:
        f"results/jobs/train_reference/{RUN}.tsv"
    wildcard_constraints:
        method="retain",
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("train_reference")
    resources:
        **plan.resources_of("train_reference"),
    params:
        **plan.params("train_reference"),
    script:
        "../scripts/finetune.py"


# One rule for every method: what a method needs and takes is read from its source file.
rule unlearn:
    input:
        tables=TABLES,
        splits=inputs.per_run(plan.training_splits),
        model=plan.model.files,
        vanilla=inputs.per_run(plan.vanilla_files),
        reference=inputs.per_run(plan.reference_files),
        selected=inputs.per_run(plan.selected_files),
        alternatives=inputs.per_run(plan.alternative_files),
        damaged=inputs.rerun_if_damaged("unlearn"),
    output:
        f"results/models/{RUN}/adapter/adapter_config.json",
        f"results/models/{RUN}/adapter/adapter_model.safetensors",
        f"results/models/{RUN}/metrics.parquet",
        manifest=f"results/models/{RUN}/manifest.json",
    log:
        f"results/jobs/unlearn/{RUN}.log",
    benchmark:
        f"results/jobs/unlearn/{RUN}.tsv"
    wildcard_constraints:
        method=plan.method_pattern,
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("unlearn")
    resources:
        **plan.resources_of("unlearn"),
    params:
        **plan.params("unlearn"),
    script:
        "../scripts/unlearn.py"
