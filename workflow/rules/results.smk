# From one value a question to the tables, figures and the page.
# What the figures and the page are made of.
GATHERED = [
    f"results/{name}"
    for name in (
        "scores.csv",
        "scores.parquet",
        "table3.csv",
        "summary.csv",
        "differences.csv",
        "costs.csv",
        "dataset_statistics.csv",
    )
]


rule scores:
    input:
        tables=TABLES,
        item_scores=answers_of_every_run("item_scores.parquet"),
        # Not read, but a table without what it rests on is worth nothing (see again).
        rests_on=parts(),
        again=again("scores", "results/scores.csv", parts()),
    output:
        scores="results/scores.csv",
        answers="results/scores.parquet",
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
        *sources("scores"),
        identity=identity("scores"),
        receipts=receipts(),
        model=config["model"]["name"],
        runs=asked(),
        forget_percents=sorted(config["benchmark"]["forget_percents"]),
        interval=config["interval"],
        settings=asking(),
    script:
        "../scripts/scores.py"


rule table3:
    input:
        "results/dataset_statistics.csv",
        scores="results/scores.csv",
        rests_on=parts(),
        again=again(
            "table3",
            "results/table3.csv",
            [*parts(), "results/scores.csv", "results/dataset_statistics.csv"],
        ),
    output:
        csv="results/table3.csv",
        markdown="results/table3.md",
        manifest="results/table3.manifest.json",
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
        *sources("table3"),
        identity=identity("table3"),
        methods=list(ENTRIES),
        receipts=receipts() | {"results/jobs/scores.json": identity("scores")},
        configuration=decisive(),
    script:
        "../scripts/table3.py"


rule ablation:
    input:
        scores="results/scores.csv",
        rests_on=parts(),
        again=again(
            "ablation", "results/ablation.csv", [*parts(), "results/scores.csv"]
        ),
    output:
        "results/ablation.csv",
    log:
        "results/jobs/ablation.log",
    benchmark:
        "results/jobs/ablation.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("ablation")
    resources:
        **needs("ablation"),
    params:
        *sources("ablation"),
        identity=identity("ablation"),
        methods=list(ENTRIES),
    script:
        "../scripts/ablation.py"


rule summary:
    input:
        scores=lambda w: with_likelihoods("results/scores.csv"),
        answers="results/scores.parquet",
        rests_on=parts(),
        again=again(
            "summary",
            "results/summary.csv",
            [*parts(), "results/scores.csv", "results/scores.parquet"],
        ),
    output:
        differences="results/differences.csv",
        over_seeds="results/scores_over_seeds.csv",
        csv="results/summary.csv",
        markdown="results/summary.md",
        latex="results/table3.tex",
    log:
        "results/jobs/summary.log",
    benchmark:
        "results/jobs/summary.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("summary")
    resources:
        **needs("summary"),
    params:
        *sources("summary"),
        identity=identity("summary"),
        methods=list(ENTRIES),
    script:
        "../scripts/summary.py"


rule costs:
    input:
        times=training_times(),
        manifests=of_every_run("manifest.json"),
        again=again(
            "costs",
            "results/costs.csv",
            training_times() + of_every_run("manifest.json"),
        ),
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
    params:
        *sources("costs"),
        identity=identity("costs"),
        model=config["model"]["name"],
        runs=runs(),
    script:
        "../scripts/costs.py"


rule figures:
    input:
        tables=TABLES,
        summary="results/summary.csv",
        scores="results/scores.csv",
        answers="results/scores.parquet",
        costs="results/costs.csv",
        metrics=of_every_run("metrics.parquet"),
        predictions=of_every_run("predictions.parquet"),
        again=again("figures", "results/agreement.csv", [*parts(), *GATHERED]),
    output:
        figures=expand(
            "results/figures/{figure}.{extension}",
            figure=FIGURES,
            extension=["pdf", "svg", "png"],
        ),
        agreement="results/agreement.csv",
    log:
        "results/jobs/figures.log",
    benchmark:
        "results/jobs/figures.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("figures")
    resources:
        **needs("figures"),
    params:
        *sources("figures"),
        identity=identity("figures"),
        runs=runs(),
    script:
        "../scripts/figures.py"


rule report:
    input:
        tables=TABLES,
        summary="results/summary.csv",
        table3="results/table3.csv",
        scores="results/scores_over_seeds.csv",
        differences="results/differences.csv",
        costs="results/costs.csv",
        statistics="results/dataset_statistics.csv",
        ranking="results/ranking.csv",
        figures=expand(
            "results/figures/{figure}.svg", figure=[*FIGURES, "equal_utility"]
        ),
        predictions=of_every_run("predictions.parquet"),
        item_scores=of_every_run("item_scores.parquet"),
        manifests=of_every_run("manifest.json"),
        page=page_files(),
        again=again("report", "results/report.html", [*parts(), *GATHERED]),
    output:
        "results/report.html",
    log:
        "results/jobs/report.log",
    benchmark:
        "results/jobs/report.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("report")
    resources:
        **needs("report"),
    params:
        *sources("report"),
        identity=identity("report"),
        runs=runs(),
        configuration=settings_text(),
        utility=config["trade_off"]["utility"],
    script:
        "../scripts/report.py"
