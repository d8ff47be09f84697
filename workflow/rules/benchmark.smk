# The people, their pictures and the questions about them.


rule write_benchmark:
    input:
        portraits=str(PORTRAITS),
        again=again("write_benchmark"),
    output:
        RAW,
    log:
        "results/jobs/write_benchmark.log",
    benchmark:
        "results/jobs/write_benchmark.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("write_benchmark")
    resources:
        **needs("write_benchmark"),
    params:
        *sources("write_benchmark"),
        identity=identity("write_benchmark"),
        # In one parameter, for Snakemake compares the values of parameters and not whose they are.
        settings={
            "people": config["benchmark"]["people"],
            "celebrities": config["benchmark"]["celebrities"],
            "seed": config["benchmark"]["seed"],
        },
    script:
        "../scripts/write_benchmark.py"


rule fetch_benchmark:
    input:
        again=again("fetch_benchmark"),
    output:
        f"{BENCHMARK}/published.json",
    log:
        "results/jobs/fetch_benchmark.log",
    benchmark:
        "results/jobs/fetch_benchmark.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("fetch_benchmark")
    resources:
        **needs("fetch_benchmark"),
    params:
        *sources("fetch_benchmark"),
        identity=identity("fetch_benchmark"),
        repository=published.REPOSITORIES.get(config["benchmark"]["name"]),
        revision=config["benchmark"]["revision"],
        # Of every ratio: one more does not fetch, and so may not change, what the others were made of.
        patterns=[
            f"{folder}/train-*"
            for folder in published_folders(
                published.PERCENTS.get(config["benchmark"]["name"], [])
            )
        ],
    script:
        "../scripts/fetch_benchmark.py"


rule load_benchmark:
    input:
        published=published_files(),
        again=again("load_benchmark"),
    output:
        MODEL_TABLES,
    log:
        "results/jobs/load_benchmark.log",
    benchmark:
        "results/jobs/load_benchmark.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("load_benchmark")
    resources:
        **needs("load_benchmark"),
    params:
        *sources("load_benchmark"),
        identity=identity("load_benchmark"),
        name=config["benchmark"]["name"],
        folder=lambda w: published_folder(),
        forget_percents=read_percents(),
    script:
        "../scripts/load_benchmark.py"


rule split_benchmark:
    input:
        published=lambda w: published_files(int(w.forget_percent)),
        tables=expand(
            f"{BENCHMARK}/{{table}}.parquet",
            table=["people", "questions", "training_pairs"],
        ),
        again=again("split_benchmark"),
    output:
        "results/benchmark/splits/forget{forget_percent}.parquet",
    log:
        "results/jobs/split_benchmark/forget{forget_percent}.log",
    benchmark:
        "results/jobs/split_benchmark/forget{forget_percent}.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("split_benchmark")
    resources:
        **needs("split_benchmark"),
    params:
        *sources("split_benchmark"),
        identity=identity("split_benchmark"),
        name=config["benchmark"]["name"],
        folder=lambda w: published_folder(),
        seed=(
            config["benchmark"]["seed"]
            if config["benchmark"]["name"] == "synthetic"
            else None
        ),
    script:
        "../scripts/split_benchmark.py"


rule splits:
    input:
        split_files(sorted(config["benchmark"]["forget_percents"])),
        again=again("splits"),
    output:
        SPLITS,
    log:
        "results/jobs/splits.log",
    benchmark:
        "results/jobs/splits.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("splits")
    resources:
        **needs("splits"),
    params:
        *sources("splits"),
        identity=identity("splits"),
    script:
        "../scripts/splits.py"


rule dataset_statistics:
    input:
        tables=TABLES,
        again=again("dataset_statistics", "results/dataset_statistics.csv", TABLES),
    output:
        "results/dataset_statistics.csv",
    log:
        "results/jobs/dataset_statistics.log",
    benchmark:
        "results/jobs/dataset_statistics.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("dataset_statistics")
    resources:
        **needs("dataset_statistics"),
    params:
        *sources("dataset_statistics"),
        identity=identity("dataset_statistics"),
    script:
        "../scripts/dataset_statistics.py"
