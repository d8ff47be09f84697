# From one value a question to the tables, figures and the page.


rule scores:
    input:
        tables=TABLES,
        item_scores=answers_of_every_run("item_scores.parquet"),
        sources=sources("scores"),
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
        # Not read, but a table without what it rests on is worth nothing (see lost).
        rests_on=parts(),
        sources=sources("table3"),
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
        lost=lambda w: lost("results/table3.csv"),
    script:
        "../scripts/table3.py"


rule ablation:
    input:
        scores="results/scores.csv",
        rests_on=parts(),
        sources=sources("ablation"),
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
        methods=list(ENTRIES),
        lost=lambda w: lost("results/ablation.csv"),
    script:
        "../scripts/ablation.py"


rule summary:
    input:
        scores=lambda w: with_likelihoods("results/scores.csv"),
        answers="results/scores.parquet",
        rests_on=parts(),
        sources=sources("summary"),
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
        methods=list(ENTRIES),
        lost=lambda w: lost("results/summary.csv"),
    script:
        "../scripts/summary.py"


rule costs:
    input:
        times=training_times(),
        manifests=of_every_run("manifest.json"),
        sources=sources("costs"),
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
        sources=sources("figures"),
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
        runs=runs(),
        lost=lambda w: lost("results/agreement.csv"),
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
        sources=sources("report"),
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
        runs=runs(),
        configuration=settings_text(),
        utility=config["trade_off"]["utility"],
        lost=lambda w: lost("results/report.html"),
    script:
        "../scripts/report.py"
