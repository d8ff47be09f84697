# Methods at equal utility: each unlearned model asked again at parts of its update. Only for the report, or when asked for.


rule rescale:
    input:
        tables=lambda w: within_memory("rescale", TABLES),
        model=model_files(),
        adapters=lambda w: adapter_files(adapters(w)),
        again=again("rescale"),
    output:
        f"results/models/{RUN}/rescaled.parquet",
    log:
        f"results/jobs/rescale/{RUN}.log",
    benchmark:
        f"results/jobs/rescale/{RUN}.tsv"
    wildcard_constraints:
        method="|".join(ENTRIES) or "no method",
    conda:
        "../../envs/unsee.yaml"
    threads: cores("rescale")
    resources:
        **needs("rescale"),
    params:
        *sources("rescale"),
        identity=identity("rescale"),
        model=model(),
        adapters=adapters,
        scales=sorted(config["trade_off"]["scales"]),
        others=config["trade_off"]["others"],
        settings=asking(leave_out=protocols.ONLY_SCORES),
    script:
        "../scripts/rescale.py"


rule trade_off:
    input:
        questions="results/benchmark/questions.parquet",
        answers=lambda w: with_likelihoods("results/scores.parquet"),
        rescaled=[f"results/models/{_run(*run)}/rescaled.parquet" for run in rescaled()],
        again=again(
            "trade_off", "results/trade_off.csv", [*parts(), "results/scores.parquet"]
        ),
    output:
        curves="results/trade_off.csv",
        ranking="results/ranking.csv",
        markdown="results/ranking.md",
        figures=expand(
            "results/figures/equal_utility.{extension}",
            extension=["pdf", "svg", "png"],
        ),
    log:
        "results/jobs/trade_off.log",
    benchmark:
        "results/jobs/trade_off.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("trade_off")
    resources:
        **needs("trade_off"),
    params:
        *sources("trade_off"),
        identity=identity("trade_off"),
        runs=rescaled(),
        methods=list(ENTRIES),
        utility=config["trade_off"]["utility"],
        settings=asking(leave_out=protocols.ONLY_ANSWERS),
    script:
        "../scripts/trade_off.py"
