# What the rules share: the checked configuration, the runs of the table, and where their files lie.
import os
import sys
from pathlib import Path

# This clone's library, whatever else is installed.
sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from unsee import config as configuration
from unsee.unlearning import catalogue

ROOT = Path(os.path.relpath(workflow.basedir))
try:
    METHODS = catalogue.read(ROOT / "src/unsee/unlearning")
    configuration.check(
        config,
        METHODS,
        ROOT,
        # The project's own file is last in this list, but the others are laid over it.
        [Path(file) for file in workflow.configfiles[-1:] + workflow.configfiles[:-1]],
    )
except (configuration.ConfigError, catalogue.CatalogueError) as error:
    raise WorkflowError(f"Nothing was run.\n{error}") from None

ENTRIES = configuration.resolve(config, METHODS)
BENCHMARK = "results/benchmark"
TABLES = expand(
    "results/benchmark/{table}.parquet",
    table=["people", "images", "questions", "training_pairs", "splits"],
)
# One model of the table.
RUN = "{model}/forget{forget_percent}/{method}/seed{seed}"
BASE = f"results/base/{config['model']['name']}"


def cores(rule):
    """The threads of a rule's jobs."""
    return config["resources"][rule]["threads"]


def needs(rule):
    """The other resources of a rule's jobs: mem_mb, runtime, gpu."""
    return {k: v for k, v in config["resources"][rule].items() if k != "threads"}


def sources(*patterns, without=()):
    """Source files of the library, as inputs of the rules whose results they decide."""
    library = ROOT / "src/unsee"
    found = {path for pattern in patterns for path in library.glob(pattern)}
    return sorted(
        str(path) for path in found if path.name not in {*without, "__init__.py"}
    )


def published_files():
    """The parquet files of a published benchmark, or the folder that write_benchmark makes."""
    if config["benchmark"]["name"] == "synthetic":
        return f"{BENCHMARK}/raw"
    return sorted(map(str, (ROOT / config["benchmark"]["path"]).glob("*/*.parquet")))


def model():
    """The base model: its name, family, dtype, and the path seen from the working directory."""
    spec = {key: config["model"][key] for key in ("name", "family", "dtype")}
    local = os.path.normpath(ROOT / config["model"]["path"])
    if config["model"]["build"]:
        return spec | {"path": BASE}
    return spec | {"path": local if os.path.isdir(local) else config["model"]["path"]}


def model_files():
    """The base model's files, if they are on this disk."""
    if config["model"]["build"]:
        return [f"{BASE}/config.json", f"{BASE}/model.safetensors"]
    return sorted(
        str(path) for path in Path(model()["path"]).glob("*") if path.is_file()
    )


def runs():
    """Every model of the table as (forget_percent, method, seed)."""
    percents = config["benchmark"]["forget_percents"]
    return [
        run
        for seed in config["seeds"]
        for run in [(0, "vanilla", seed)]
        + [
            (percent, method, seed)
            for percent in percents
            for method in ["retain", *ENTRIES]
        ]
    ]


def of_every_run(*names):
    """These files of every model of the table."""
    return [
        f"results/models/{config['model']['name']}/forget{percent}/{method}/seed{seed}/{name}"
        for percent, method, seed in runs()
        for name in names
    ]


def job_costs():
    """Time and memory of every job that loads a model, as Snakemake measures them."""
    name = config["model"]["name"]
    return [
        f"results/jobs/{rule}/{name}/forget{percent}/{method}/seed{seed}.tsv"
        for percent, method, seed in runs()
        for rule in ("unlearn" if method in ENTRIES else "finetune", "predict")
    ]


def adapter_folder(wildcards, forget_percent, method):
    """The adapter of another run of the same model and seed."""
    run = RUN.format(
        model=wildcards.model,
        forget_percent=forget_percent,
        method=method,
        seed=wildcards.seed,
    )
    return f"results/models/{run}/adapter"


def adapter_files(folders):
    """What an adapter is made of."""
    return [
        f"{folder}/{name}"
        for folder in folders
        for name in ("adapter_config.json", "adapter_model.safetensors")
    ]


def vanilla(wildcards):
    """The adapter that a run's unlearning starts from."""
    return adapter_folder(wildcards, 0, "vanilla")


def reference(wildcards):
    """The adapter that a run's method compares with besides vanilla's, if it does."""
    if ENTRIES[wildcards.method].method.needs.reference != "retain":
        return None
    return adapter_folder(wildcards, wildcards.forget_percent, "retain")


def adapters(wildcards):
    """The adapters that make a run's model, in the order in which they are put on the base."""
    own = adapter_folder(wildcards, wildcards.forget_percent, wildcards.method)
    return [vanilla(wildcards), own] if wildcards.method in ENTRIES else [own]


def asked_percents(wildcards):
    """The ratios whose questions a run answers: its own, and vanilla, which is asked once, all."""
    if wildcards.method == "vanilla":
        return sorted(config["benchmark"]["forget_percents"])
    return [int(wildcards.forget_percent)]
