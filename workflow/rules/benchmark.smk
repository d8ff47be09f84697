# The people, their pictures and the questions about them.


rule write_benchmark:
    input:
        portraits=plan.portraits,
        damaged=inputs.rerun_if_damaged("write_benchmark"),
    output:
        plan.benchmark.raw,
    log:
        "results/jobs/write_benchmark.log",
    benchmark:
        "results/jobs/write_benchmark.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("write_benchmark")
    resources:
        **plan.resources_of("write_benchmark"),
    params:
        **plan.params("write_benchmark"),
    script:
        "../scripts/write_benchmark.py"


rule fetch_benchmark:
    input:
        damaged=inputs.rerun_if_damaged("fetch_benchmark"),
    output:
        plan.benchmark.record,
    log:
        "results/jobs/fetch_benchmark.log",
    benchmark:
        "results/jobs/fetch_benchmark.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("fetch_benchmark")
    resources:
        **plan.resources_of("fetch_benchmark"),
    params:
        **plan.params("fetch_benchmark"),
    script:
        "../scripts/fetch_benchmark.py"


rule load_benchmark:
    input:
        published=plan.benchmark.published_files(),
        damaged=inputs.rerun_if_damaged("load_benchmark"),
    output:
        TABLES,
        plan.benchmark.held_out_tables,
    log:
        "results/jobs/load_benchmark.log",
    benchmark:
        "results/jobs/load_benchmark.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("load_benchmark")
    resources:
        **plan.resources_of("load_benchmark"),
    params:
        **plan.params("load_benchmark"),
    script:
        "../scripts/load_benchmark.py"


rule split_benchmark:
    input:
        published=inputs.per_ratio(plan.benchmark.published_files),
        tables=plan.benchmark.split_tables,
        held_out=plan.benchmark.held_out_tables,
        damaged=inputs.rerun_if_damaged("split_benchmark"),
    output:
        "results/benchmark/splits/forget{forget_percent}.parquet",
    log:
        "results/jobs/split_benchmark/forget{forget_percent}.log",
    benchmark:
        "results/jobs/split_benchmark/forget{forget_percent}.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("split_benchmark")
    resources:
        **plan.resources_of("split_benchmark"),
    params:
        **plan.params("split_benchmark"),
    script:
        "../scripts/split_benchmark.py"
