# The people, their pictures and the questions about them.


onstart:
    check_published(job.rule.name for job in workflow.dag.needrun_jobs())


rule write_benchmark:
    input:
        portraits=str(ROOT / "src/unsee/data/portraits.parquet"),
        sources=sources("write_benchmark"),
    output:
        directory("results/benchmark/raw"),
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
        # In one parameter, for Snakemake compares the values of parameters and not whose they are.
        settings={
            "people": config["benchmark"]["people"],
            "celebrities": config["benchmark"]["celebrities"],
            "forget_percents": sorted(config["benchmark"]["forget_percents"]),
            "seed": config["benchmark"]["seed"],
        },
    script:
        "../scripts/write_benchmark.py"


rule fetch_benchmark:
    input:
        sources=sources("fetch_benchmark"),
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
        repository=published.REPOSITORIES.get(config["benchmark"]["name"]),
        revision=config["benchmark"]["revision"],
        patterns=[f"{folder}/train-*" for folder in published_folders()],
    script:
        "../scripts/fetch_benchmark.py"


rule load_benchmark:
    input:
        published=published_files(),
        sources=sources("load_benchmark"),
    output:
        TABLES,
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
        name=config["benchmark"]["name"],
        folder=lambda w: published_folder(),
        forget_percents=sorted(config["benchmark"]["forget_percents"]),
    script:
        "../scripts/load_benchmark.py"


rule dataset_statistics:
    input:
        tables=TABLES,
        sources=sources("dataset_statistics"),
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
    script:
        "../scripts/dataset_statistics.py"
