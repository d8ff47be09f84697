# From one value a question to the tables, the figures and the page.


rule scores:
    input:
        questions=QUESTIONS,
        splits=plan.benchmark.splits,
        answers=plan.files(plan.evaluated_runs, *plan.scores),
        damaged=inputs.rerun_if_damaged("scores"),
    output:
        scores=report(
            "results/scores.csv",
            caption="../report/scores.rst",
            category="Tables",
        ),
        answers="results/scores.parquet",
    log:
        "results/jobs/scores.log",
    benchmark:
        "results/jobs/scores.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("scores")
    resources:
        **plan.resources_of("scores"),
    params:
        **plan.params("scores"),
    script:
        "../scripts/scores.py"


rule tables:
    input:
        tables=TABLES,
        scores="results/scores.csv",
        answers="results/scores.parquet",
        times=plan.training_times,
        manifests=plan.files(plan.trained_runs, "manifest.json"),
        damaged=inputs.rerun_if_damaged("tables"),
    output:
        csv=report(
            "results/table3.csv",
            caption="../report/table3.rst",
            category="Tables",
        ),
        markdown="results/table3.md",
        manifest="results/table3.manifest.json",
        knowledge=[
            report(
                "results/knowledge.csv",
                caption="../report/knowledge.rst",
                category="Tables",
            ),
            "results/knowledge.md",
        ],
        ablation="results/ablation.csv",
        costs=report(
            "results/costs.csv",
            caption="../report/costs.rst",
            category="Tables",
        ),
        statistics="results/dataset_statistics.csv",
    log:
        "results/jobs/tables.log",
    benchmark:
        "results/jobs/tables.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("tables")
    resources:
        **plan.resources_of("tables"),
    params:
        **plan.params("tables"),
    script:
        "../scripts/tables.py"


rule summary:
    input:
        scores=inputs.on_request("summary", "results/scores.csv"),
        answers="results/scores.parquet",
        damaged=inputs.rerun_if_damaged("summary"),
    output:
        differences=report(
            "results/differences.csv",
            caption="../report/differences.rst",
            category="Tables",
        ),
        modalities="results/modalities.csv",
        over_seeds="results/scores_over_seeds.csv",
        csv=report(
            "results/summary.csv",
            caption="../report/summary.rst",
            category="Tables",
        ),
        markdown="results/summary.md",
        latex="results/table3.tex",
    log:
        "results/jobs/summary.log",
    benchmark:
        "results/jobs/summary.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("summary")
    resources:
        **plan.resources_of("summary"),
    params:
        **plan.params("summary"),
    script:
        "../scripts/summary.py"


# On request: methods at equal utility.
rule trade_off:
    input:
        questions=QUESTIONS,
        answers=inputs.on_request("trade_off", "results/scores.parquet"),
        rescaled=plan.files(plan.rescaled_runs, "rescaled.parquet"),
        damaged=inputs.rerun_if_damaged("trade_off"),
    output:
        curves="results/trade_off.csv",
        ranking=report(
            "results/ranking.csv",
            caption="../report/ranking.rst",
            category="Tables",
        ),
        markdown="results/ranking.md",
        figures=in_report(figure_files(["equal_utility"])),
    log:
        "results/jobs/trade_off.log",
    benchmark:
        "results/jobs/trade_off.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("trade_off")
    resources:
        **plan.resources_of("trade_off"),
    params:
        **plan.params("trade_off"),
    script:
        "../scripts/trade_off.py"


# On request: every figure, and one page with everything.
rule report:
    input:
        tables=TABLES,
        splits=plan.benchmark.splits,
        csv=plan.report_tables,
        answers="results/scores.parquet",
        equal_utility="results/figures/equal_utility.svg",
        robustness=plan.robustness_figures,
        metrics=plan.files(plan.trained_runs, "metrics.parquet"),
        manifests=plan.files(plan.trained_runs, "manifest.json"),
        predictions=plan.files(plan.runs, *plan.predictions),
        answer_scores=plan.files(plan.runs, *plan.scores),
        page=plan.page_files,
        damaged=inputs.rerun_if_damaged("report"),
    output:
        page=report(
            "results/report.html",
            caption="../report/report.rst",
            category="Page",
        ),
        agreement="results/agreement.csv",
        figures=in_report(figure_files(FIGURES)),
    log:
        "results/jobs/report.log",
    benchmark:
        "results/jobs/report.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: plan.threads_of("report")
    resources:
        **plan.resources_of("report"),
    params:
        **plan.params("report"),
    script:
        "../scripts/report.py"
