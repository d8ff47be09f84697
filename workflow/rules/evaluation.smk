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
        settings=prediction_settings(),
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
        cloze_rule=config["evaluation"]["cloze_rule"],
    script:
        "../scripts/score.py"
