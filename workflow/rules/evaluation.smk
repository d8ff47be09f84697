# Every model of the table answers its questions once; scoring reads the answers and loads no model.


rule predict:
    input:
        tables=MODEL_TABLES,
        splits=lambda w: split_files(asked_percents(w)),
        model=model_files(),
        adapters=lambda w: adapter_files(adapters(w)),
        again=again("predict"),
    output:
        f"results/models/{RUN}/predictions.parquet",
    log:
        f"results/jobs/predict/{RUN}.log",
    benchmark:
        f"results/jobs/predict/{RUN}.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("predict")
    resources:
        **needs("predict"),
    params:
        *sources("predict"),
        identity=identity("predict"),
        model=model(),
        adapters=adapters,
        forget_percents=asked_percents,
        settings=asking(leave_out=protocols.ONLY_SCORES),
    script:
        "../scripts/predict.py"


rule score:
    input:
        predictions=f"results/models/{RUN}/predictions.parquet",
        questions="results/benchmark/questions.parquet",
        again=again("score"),
    output:
        f"results/models/{RUN}/item_scores.parquet",
    log:
        f"results/jobs/score/{RUN}.log",
    benchmark:
        f"results/jobs/score/{RUN}.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("score")
    resources:
        **needs("score"),
    params:
        *sources("score"),
        identity=identity("score"),
        settings=asking(leave_out=protocols.ONLY_ANSWERS),
    script:
        "../scripts/score.py"


rule official:
    input:
        questions="results/benchmark/questions.parquet",
        splits="results/benchmark/splits.parquet",
        predictions=lambda w: as_published(w, "predictions.parquet"),
        item_scores=lambda w: as_published(w, "item_scores.parquet"),
        again=again("official"),
    output:
        f"results/models/{RUN}/official/{{method}}_final_evaluation_results.json",
        [
            f"results/models/{RUN}/official/{mode}_generation_results.json"
            for mode in ["forget", "test", "retain_shared", "retain_celebrity"]
        ],
    log:
        f"results/jobs/official/{RUN}.log",
    benchmark:
        f"results/jobs/official/{RUN}.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("official")
    resources:
        **needs("official"),
    params:
        *sources("official"),
        identity=identity("official"),
    script:
        "../scripts/official.py"


rule ask_anchor:
    input:
        tables=lambda w: anchored(TABLES),
        model=model_files(),
        again=again("ask_anchor"),
    output:
        "results/anchor/predictions.parquet",
    log:
        "results/jobs/ask_anchor.log",
    benchmark:
        "results/jobs/ask_anchor.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("ask_anchor")
    resources:
        **needs("ask_anchor"),
    params:
        *sources("ask_anchor"),
        identity=identity("ask_anchor"),
        model=model(),
        forget_percent=config["anchor"]["forget_percent"],
    script:
        "../scripts/ask_anchor.py"


rule anchor_check:
    input:
        questions="results/benchmark/questions.parquet",
        splits="results/benchmark/splits.parquet",
        predictions="results/anchor/predictions.parquet",
        again=again("anchor_check"),
    output:
        "results/anchor_check.csv",
    log:
        "results/jobs/anchor_check.log",
    benchmark:
        "results/jobs/anchor_check.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("anchor_check")
    resources:
        **needs("anchor_check"),
    params:
        *sources("anchor_check"),
        identity=identity("anchor_check"),
        figures=configuration.plain(config["anchor"]),
    script:
        "../scripts/anchor_check.py"
