# The base model, and what it becomes when it learns the people: all of them, or all but those to be forgotten.


rule convert_language_model:
    input:
        again=again("convert_language_model"),
    output:
        LANGUAGE_MODEL,
    log:
        "results/jobs/convert_language_model.log",
    benchmark:
        "results/jobs/convert_language_model.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("convert_language_model")
    resources:
        **needs("convert_language_model"),
    params:
        *sources("convert_language_model"),
        identity=identity("convert_language_model"),
    script:
        "../scripts/convert_language_model.py"


rule pretrain_base:
    input:
        bystanders=bystanders(),
        language_model=language_model(),
        tower=tower(),
        portraits=str(PORTRAITS),
        again=again("pretrain_base"),
    output:
        f"{BASE}/config.json",
        f"{BASE}/model.safetensors",
    log:
        "results/jobs/pretrain_base.log",
    benchmark:
        "results/jobs/pretrain_base.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("pretrain_base")
    resources:
        **needs("pretrain_base"),
    params:
        *sources("pretrain_base"),
        identity=identity("pretrain_base"),
        family=config["model"]["family"],
        settings=pretraining_settings(),
    script:
        "../scripts/pretrain_base.py"


rule fetch_model:
    input:
        again=again("fetch_model"),
    output:
        f"{BASE}/published.json",
    log:
        "results/jobs/fetch_model.log",
    benchmark:
        "results/jobs/fetch_model.tsv"
    conda:
        "../../envs/unsee.yaml"
    threads: cores("fetch_model")
    resources:
        **needs("fetch_model"),
    params:
        *sources("fetch_model"),
        identity=identity("fetch_model"),
        repository=config["model"]["path"],
        revision=config["model"]["revision"],
        family=config["model"]["family"],
    script:
        "../scripts/fetch_model.py"


rule finetune:
    input:
        tables=MODEL_TABLES,
        splits=splits_of,
        model=model_files(),
        again=again("finetune"),
    output:
        f"results/models/{RUN}/adapter/adapter_config.json",
        f"results/models/{RUN}/adapter/adapter_model.safetensors",
        f"results/models/{RUN}/metrics.parquet",
        manifest=f"results/models/{RUN}/manifest.json",
    log:
        f"results/jobs/finetune/{RUN}.log",
    benchmark:
        f"results/jobs/finetune/{RUN}.tsv"
    wildcard_constraints:
        method="vanilla|retain",
    conda:
        "../../envs/unsee.yaml"
    threads: cores("finetune")
    resources:
        **needs("finetune"),
    params:
        *sources("finetune"),
        identity=identity("finetune"),
        model=model(),
        settings=configuration.plain(config["finetune"]),
    script:
        "../scripts/finetune.py"
