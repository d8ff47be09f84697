# From one value a question to the tables.


rule scores:
    input:
        tables=TABLES,
        item_scores=of_every_run("item_scores.parquet"),
        sources=sources("results/scores.py", "benchmarks/splits.py"),
    output:
        "results/scores.csv",
    log:
        "results/jobs/scores.log",
    benchmark:
        "results/jobs/scores.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("scores")
    resources:
        **needs("scores"),
    params:
        model=config["model"]["name"],
        runs=runs(),
        forget_percents=sorted(config["benchmark"]["forget_percents"]),
    script:
        "../scripts/scores.py"


rule table3:
    input:
        "results/dataset_statistics.csv",
        scores="results/scores.csv",
        # Not read: named, so that one that is gone (a job that failed, a disk that was tidied) is made again
        # before there is a table that seems to rest on it.
        rests_on=of_every_run(
            "adapter/adapter_config.json",
            "adapter/adapter_model.safetensors",
            "predictions.parquet",
        ),
        sources=sources("results/tables.py"),
    output:
        csv="results/table3.csv",
        markdown="results/table3.md",
    log:
        "results/jobs/table3.log",
    benchmark:
        "results/jobs/table3.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("table3")
    resources:
        **needs("table3"),
    params:
        methods=list(ENTRIES),
    script:
        "../scripts/table3.py"


rule costs:
    input:
        jobs=job_costs(),
        sources=sources("results/costs.py"),
    output:
        "results/costs.csv",
    log:
        "results/jobs/costs.log",
    benchmark:
        "results/jobs/costs.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("costs")
    resources:
        **needs("costs"),
    script:
        "../scripts/costs.py"
