# On request, or for settings that are `tuned`: trials of each method's settings on people who are not reported.


# The people, and the models that trials start from and are compared with, are made by the rules of the reported ones.
use rule write_benchmark as tuning_write_benchmark with:
    input:
        portraits=tuning_inputs.on_request("tuning", tuning_plan.portraits),
        damaged=tuning_inputs.rerun_if_damaged("tuning_write_benchmark"),
    output:
        tuning_plan.benchmark.raw,
    log:
        "results/jobs/tuning_write_benchmark.log",
    benchmark:
        "results/jobs/tuning_write_benchmark.tsv"
    params:
        **tuning_plan.params("write_benchmark"),


use rule load_benchmark as tuning_load_benchmark with:
    input:
        published=tuning_plan.benchmark.raw,
        damaged=tuning_inputs.rerun_if_damaged("tuning_load_benchmark"),
    output:
        tuning_plan.benchmark.tables,
    log:
        "results/jobs/tuning_load_benchmark.log",
    benchmark:
        "results/jobs/tuning_load_benchmark.tsv"
    params:
        **tuning_plan.params("load_benchmark"),


use rule split_benchmark as tuning_split_benchmark with:
    input:
        published=[],
        tables=tuning_plan.benchmark.split_tables,
        held_out=[],
        damaged=tuning_inputs.rerun_if_damaged("tuning_split_benchmark"),
    output:
        "results/tuning/benchmark/splits/forget{forget_percent}.parquet",
    log:
        "results/jobs/tuning_split_benchmark/forget{forget_percent}.log",
    benchmark:
        "results/jobs/tuning_split_benchmark/forget{forget_percent}.tsv"
    params:
        **tuning_plan.params("split_benchmark"),


use rule finetune as tuning_finetune with:
    input:
        tables=tuning_plan.benchmark.tables,
        splits=tuning_inputs.per_run(tuning_plan.training_splits),
        model=tuning_plan.model.files,
        damaged=tuning_inputs.rerun_if_damaged("tuning_finetune"),
    output:
        f"results/tuning/models/{RUN}/adapter/adapter_config.json",
        f"results/tuning/models/{RUN}/adapter/adapter_model.safetensors",
        f"results/tuning/models/{RUN}/metrics.parquet",
        manifest=f"results/tuning/models/{RUN}/manifest.json",
    log:
        f"results/jobs/tuning_finetune/{RUN}.log",
    benchmark:
        f"results/jobs/tuning_finetune/{RUN}.tsv"
    params:
        **tuning_plan.params("finetune"),


use rule train_reference as tuning_train_reference with:
    input:
        tables=tuning_plan.benchmark.tables,
        splits=tuning_inputs.per_run(tuning_plan.training_splits),
        model=tuning_plan.model.files,
        damaged=tuning_inputs.rerun_if_damaged("tuning_train_reference"),
    output:
        f"results/tuning/models/{RUN}/adapter/adapter_config.json",
        f"results/tuning/models/{RUN}/adapter/adapter_model.safetensors",
        f"results/tuning/models/{RUN}/metrics.parquet",
        manifest=f"results/tuning/models/{RUN}/manifest.json",
    log:
        f"results/jobs/tuning_train_reference/{RUN}.log",
    benchmark:
        f"results/jobs/tuning_train_reference/{RUN}.tsv"
    params:
        **tuning_plan.params("train_reference"),


use rule predict as tuning_predict with:
    input:
        tables=tuning_plan.benchmark.tables,
        splits=tuning_inputs.per_run(tuning_plan.evaluation_splits),
        model=tuning_plan.model.files,
        adapters=tuning_inputs.per_run(tuning_plan.adapter_files),
        damaged=tuning_inputs.rerun_if_damaged("tuning_predict"),
    output:
        [f"results/tuning/models/{RUN}/{file}" for file in tuning_plan.predictions],
    log:
        f"results/jobs/tuning_predict/{RUN}.log",
    benchmark:
        f"results/jobs/tuning_predict/{RUN}.tsv"
    params:
        **tuning_plan.params("predict"),


use rule evaluate as tuning_evaluate with:
    input:
        predictions=f"results/tuning/models/{RUN}/predictions/{{task}}.parquet",
        questions=tuning_plan.benchmark.questions,
        damaged=tuning_inputs.rerun_if_damaged("tuning_evaluate"),
    output:
        f"results/tuning/models/{RUN}/scores/{{task}}.parquet",
    log:
        f"results/jobs/tuning_evaluate/{RUN}/{{task}}.log",
    benchmark:
        f"results/jobs/tuning_evaluate/{RUN}/{{task}}.tsv"
    params:
        **tuning_plan.params("evaluate"),


# One trial: a method with some settings, trained and asked; only its scores are kept.
rule tune:
    input:
        tables=tuning_plan.benchmark.tables,
        splits=tuning_inputs.per_run(tuning_plan.evaluation_splits),
        model=tuning_plan.model.files,
        vanilla=tuning_inputs.per_run(tuning_plan.vanilla_files),
        reference=tuning_inputs.per_run(tuning_plan.reference_files),
        alternatives=tuning_inputs.per_run(tuning_plan.alternative_files),
        damaged=tuning_inputs.rerun_if_damaged("tune"),
    output:
        f"results/tuning/trials/{RUN}/{{trial}}.parquet",
    log:
        f"results/jobs/tune/{RUN}/{{trial}}.log",
    benchmark:
        f"results/jobs/tune/{RUN}/{{trial}}.tsv"
    wildcard_constraints:
        method=tuning_plan.method_pattern,
        trial=r"[A-Za-z0-9_.+-]+",
    conda:
        "../../envs/unsee.yaml"
    threads: tuning_plan.threads_of("tune")
    resources:
        **tuning_plan.resources_of("tune"),
    params:
        **tuning_plan.params("tune"),
    script:
        "../scripts/tune.py"


# The trials of one method at one ratio, ranked; the best one's settings are a file of their own.
rule select_settings:
    input:
        questions=tuning_plan.benchmark.questions,
        splits=tuning_inputs.per_run(tuning_plan.evaluation_splits),
        references=tuning_inputs.per_run(tuning_plan.reference_scores),
        trials=tuning_inputs.per_run(tuning_plan.trial_files),
        damaged=tuning_inputs.rerun_if_damaged("select_settings"),
    output:
        ranked=f"results/tuning/selected/{RUN}.csv",
        best=f"results/tuning/selected/{RUN}.json",
    log:
        f"results/jobs/select_settings/{RUN}.log",
    benchmark:
        f"results/jobs/select_settings/{RUN}.tsv"
    wildcard_constraints:
        method=tuning_plan.method_pattern,
    conda:
        "../../envs/unsee.yaml"
    threads: tuning_plan.threads_of("select_settings")
    resources:
        **tuning_plan.resources_of("select_settings"),
    params:
        **tuning_plan.params("select_settings"),
    script:
        "../scripts/select_settings.py"


# On request: every trial of every method at every ratio.
rule tuning:
    input:
        ranked=tuning_inputs.on_request(
            "tuning", tuning_plan.ranked_files(tuning_plan.searched_runs)
        ),
        damaged=tuning_inputs.rerun_if_damaged("tuning"),
    output:
        csv=report(
            "results/tuning.csv",
            caption="../report/tuning.rst",
            category="Tables",
        ),
        markdown="results/tuning.md",
    log:
        "results/jobs/tuning.log",
    benchmark:
        "results/jobs/tuning.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: tuning_plan.threads_of("tuning")
    resources:
        **tuning_plan.resources_of("tuning"),
    params:
        **tuning_plan.params("tuning"),
    script:
        "../scripts/tuning.py"
