# One rule for every method: what a method needs and takes is read from its source file.


rule unlearn:
    input:
        tables=MODEL_TABLES,
        splits=splits_of,
        model=model_files(),
        vanilla=lambda w: adapter_files([vanilla(w)]),
        reference=lambda w: adapter_files(filter(None, [reference(w)])),
        again=again("unlearn"),
    output:
        f"results/models/{RUN}/adapter/adapter_config.json",
        f"results/models/{RUN}/adapter/adapter_model.safetensors",
        f"results/models/{RUN}/metrics.parquet",
        manifest=f"results/models/{RUN}/manifest.json",
    log:
        f"results/jobs/unlearn/{RUN}.log",
    benchmark:
        f"results/jobs/unlearn/{RUN}.tsv"
    wildcard_constraints:
        method="|".join(ENTRIES) or "no method",
    conda:
        "../../envs/unsee.yaml"
    threads: cores("unlearn")
    resources:
        **needs("unlearn"),
    params:
        *sources("unlearn"),
        identity=identity("unlearn"),
        method_sources=method_sources,
        model=model(),
        vanilla=vanilla,
        reference=reference,
        method=lambda w: ENTRIES[w.method].method.name,
        settings=lambda w: ENTRIES[w.method].settings,
    script:
        "../scripts/unlearn.py"
