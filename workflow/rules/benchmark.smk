# The people, their pictures and the questions about them.


rule write_benchmark:
    input:
        portraits=str(ROOT / "src/unsee/data/portraits.parquet"),
        sources=sources("benchmarks/*.py", without=["mllmu.py", "statistics.py"]),
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
        people=config["benchmark"]["people"],
        celebrities=config["benchmark"]["celebrities"],
        forget_percents=sorted(config["benchmark"]["forget_percents"]),
        seed=config["benchmark"]["seed"],
    script:
        "../scripts/write_benchmark.py"


rule load_benchmark:
    input:
        published=published_files(),
        sources=sources("benchmarks/mllmu.py", "benchmarks/schema.py"),
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
        forget_percents=sorted(config["benchmark"]["forget_percents"]),
    script:
        "../scripts/load_benchmark.py"


rule dataset_statistics:
    input:
        tables=TABLES,
        sources=sources("benchmarks/statistics.py"),
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
