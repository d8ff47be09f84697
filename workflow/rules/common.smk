# What the rules share: the checked configuration, the runs of the table, and where their files lie.
import os
import shlex
import sys
from os.path import exists
from pathlib import Path

import yaml

# This clone's library, whatever else is installed.
sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from unsee.jobs import config as configuration
from unsee.jobs import config_checks
from unsee.jobs import gpus
from unsee.benchmarks import published
from unsee.benchmarks.shards import find_shards
from unsee.evaluation import protocols
from unsee.unlearning import catalogue

# Snakemake (9.27) puts the path of Python into a shell's command line as it is, which a blank in it would cut in two.
if os.path.exists(sys.executable):
    sys.executable = shlex.quote(sys.executable)
ROOT = Path(os.path.relpath(workflow.basedir))
# The project's own file comes last in Snakemake's list, but the others are laid over it.
CONFIG_FILES = [
    Path(file) for file in workflow.configfiles[-1:] + workflow.configfiles[:-1]
]
configuration.read_nested(config, workflow.config_settings.config)
try:
    config_checks.check_folders(workflow.basedir, os.getcwd())
    METHODS = catalogue.read(ROOT / "src/unsee/unlearning")
    config_checks.check(config, METHODS, ROOT, CONFIG_FILES)
except (configuration.ConfigError, catalogue.CatalogueError) as error:
    raise WorkflowError(f"Nothing was run.\n{error}") from None

ENTRIES = configuration.resolve(config, METHODS, CONFIG_FILES)
BENCHMARK = "results/benchmark"
# Of the synthetic benchmark, in the published layout.
RAW = [
    f"{BENCHMARK}/raw/{file}.parquet"
    for file in (
        "ft_Data/train-00000-of-00001",
        "Full_Set/train-00000-of-00001",
        "Test_Set/train-00000-of-00002",
        "Test_Set/train-00001-of-00002",
        "Retain_Set/train-00000-of-00001",
    )
]
# What a model is made of, besides the splits of its ratio.
MODEL_TABLES = expand(
    f"{BENCHMARK}/{{table}}.parquet",
    table=["people", "images", "questions", "training_pairs"],
)
SPLITS = f"{BENCHMARK}/splits.parquet"
TABLES = [*MODEL_TABLES, SPLITS]
# The figures, see src/unsee/results/page/figures.py.
FIGURES = [
    "agreement",
    "costs",
    "modalities",
    "portraits",
    "ratios",
    "trade_off",
    "training",
]
PORTRAITS = ROOT / "src/unsee/data/portraits.parquet"
# GPU jobs on this machine: as many at a time as it has GPUs, and on the CPU no fewer than others. Not on a cluster, which
# counts its own: there --jobs says how many jobs may be queued.
if workflow.is_main_process and workflow.nodes is None:
    n_gpus = len(gpus.usable())
    if n_gpus and "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", n_gpus)
# One model of the table.
RUN = "{model}/forget{forget_percent}/{method}/seed{seed}"
BASE = f"results/base/{config['model']['name']}"

# A pretrained decoder as a checkpoint, where a base model is built on one; and the base model whose tower it then takes.
LANGUAGE_MODEL = expand(
    "results/language_model/{file}",
    file=["config.json", "model.safetensors", "tokenizer.json"],
)
TOWER = ROOT / "src/unsee/data/tiny-llava"


def cores(rule):
    """The threads of a rule's jobs."""
    return config["resources"][rule]["threads"]


def needs(rule):
    """The other resources of a rule's jobs: mem_mb, gpu, runtime, and where a cluster is to run them.

    The time grows with every attempt: a job that was stopped for taking too long is given more. What is null is not asked
    for; names are those that Snakemake's executors for Slurm and LSF know.
    """
    entry = {**config["cluster"], **config["resources"][rule]}
    gpu, model, minutes = entry["gpu"], entry["gpu_model"], entry["runtime"]
    asked = {
        "mem_mb": entry["mem_mb"],
        "gpu": gpu,
        "runtime": lambda wildcards, attempt: minutes * attempt,
        "gpu_model": model if gpu else None,
        "slurm_partition": entry["partition"],
        "slurm_account": entry["account"],
        "qos": entry["qos"],
        "lsf_queue": entry["partition"],
        "lsf_project": entry["account"],
        "lsf_extra": (
            f"-gpu num={gpu}{f':gmodel={model}' if model else ''}" if gpu else None
        ),
    }
    return {name: value for name, value in asked.items() if value is not None}


def read_percents():
    """The ratios without which people, pictures and questions cannot be read: none, where they are the same at all."""
    benchmark = config["benchmark"]
    free = published.same_at_every_ratio(benchmark["name"])
    return [] if free else sorted(benchmark["forget_percents"])


def published_folders(percents):
    """The names of the folders that the benchmark's loader reads for these ratios."""
    return published.folders(config["benchmark"]["name"], percents)


def published_folder():
    """The folder with the benchmark's folders, or nothing where it is fetched."""
    if config["benchmark"]["name"] == "synthetic":
        return f"{BENCHMARK}/raw"
    path = config["benchmark"]["path"]
    return path and os.path.normpath(ROOT / path)


def published_files(percent=None):
    """The files that people, pictures and questions are read from, or those of a ratio's splits.

    Of a published benchmark, or those that write_benchmark makes, or the record of what is fetched.
    """
    if config["benchmark"]["name"] == "synthetic":
        return [] if percent else RAW
    if config["benchmark"]["path"] is None:
        return [f"{BENCHMARK}/published.json"]
    folder = Path(published_folder())
    if percent:
        names = [k for k, at in published_folders([percent]).items() if at]
    else:
        names = published_folders(read_percents())
    return [str(path) for name in names for path in find_shards(folder / name)]


def split_files(percents):
    """Who is forgotten at these ratios, a file each."""
    return [f"{BENCHMARK}/splits/forget{percent}.parquet" for percent in percents]


def check_published(rules):
    """Read a published benchmark once before it is loaded: a job that fails has lost its old tables by then."""
    benchmark = config["benchmark"]
    if benchmark["name"] == "synthetic" or benchmark["path"] is None:
        return
    if not {"load_benchmark", "split_benchmark"} & set(rules):
        return
    from unsee.benchmarks.schema import BenchmarkError

    try:
        published.load(
            benchmark["name"],
            Path(published_folder()),
            sorted(benchmark["forget_percents"]),
        )
    except BenchmarkError as error:
        raise WorkflowError(f"Nothing was run.\n{error}") from None


def model():
    """The base model: name, family, dtype, and the path seen from the working directory or the published name."""
    spec = {key: config["model"][key] for key in ("name", "family", "dtype")}
    local = os.path.normpath(ROOT / config["model"]["path"])
    if config["model"]["build"]:
        return spec | {"path": BASE}
    if os.path.isdir(local):
        return spec | {"path": local}
    return spec | {
        "path": config["model"]["path"],
        "revision": config["model"]["revision"],
        # Says which commit was fetched, where the revision is null.
        "record": f"{BASE}/published.json",
    }


def model_files():
    """The base model's files, or the record of what is fetched."""
    if config["model"]["build"]:
        return [f"{BASE}/config.json", f"{BASE}/model.safetensors"]
    if "revision" in model():
        return [f"{BASE}/published.json"]
    return sorted(
        str(path)
        for path in Path(model()["path"]).glob("*")
        if path.is_file() and path.suffix != ".md"  # a card changes no result
    )


def pretraining_settings():
    """How the base model is pretrained, but for what is an input."""
    settings = configuration.plain(config["pretraining"])
    return {
        k: v for k, v in settings.items() if k not in ("bystanders", "language_model")
    }


def bystanders():
    """The portraits file that the base model is pretrained on, if it is built and there is one."""
    file = config["pretraining"]["bystanders"]
    return os.path.normpath(ROOT / file) if config["model"]["build"] and file else []


def language_model():
    """The decoder that the base model is built on, if it is built on one."""
    built_on = config["model"]["build"] and config["pretraining"]["language_model"]
    return LANGUAGE_MODEL if built_on else []


def tower():
    """The checkpoint whose tower a base model takes that is built on a decoder."""
    names = ["config.json", "model.safetensors", "processor_config.json"]
    return [str(TOWER / name) for name in names] if language_model() else []


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
    return _files(runs(), names)


def asked():
    """Every model of the table as it is asked: vanilla once, but at each ratio where a protocol's prompts depend on it."""
    if config["evaluation"]["protocol"] == "unsee":
        return runs()
    percents = config["benchmark"]["forget_percents"]
    return [
        (percent, method, seed)
        for trained, method, seed in runs()
        for percent in (percents if method == "vanilla" else [trained])
    ]


def answers_of_every_run(*names):
    """These files of every model of the table as it is asked."""
    return _files(asked(), names)


def _files(runs, names):
    return [f"results/models/{_run(*run)}/{name}" for run in runs for name in names]


def asking(*more, leave_out=()):
    """The protocol, its own settings but some, and some that are everybody's."""
    given = config["evaluation"]
    own = [k for k in protocols.SETTINGS[given["protocol"]] if k not in leave_out]
    return {k: given[k] for k in ["protocol", *own, *more]}


def as_published(wildcards, name):
    """A file of a run that was asked as a published evaluation asks."""
    if config["evaluation"]["protocol"] == "unsee":
        others = ", ".join(name for name in protocols.SETTINGS if name != "unsee")
        raise WorkflowError(
            "Nothing was run.\nconfig.yaml: evaluation.protocol is 'unsee', and the published result files are of "
            f"published protocols; expected one of {others}"
        )
    return f"results/models/{RUN}/{name}".format(**wildcards)


def with_likelihoods(path):
    """A file that compares likelihoods of options, which only our protocol measures."""
    protocol = config["evaluation"]["protocol"]
    if protocol != "unsee":
        raise WorkflowError(
            f"Nothing was run.\nconfig.yaml: evaluation.protocol is '{protocol}', and the summary (and what is made of "
            "it) compares likelihoods of options; expected unsee, or results/table3.csv as the target"
        )
    return path


def anchored(paths):
    """Files that the check against a known figure needs, if the benchmark has its ratio."""
    percent, known = config["anchor"]["forget_percent"], config["benchmark"]
    if percent not in known["forget_percents"]:
        raise WorkflowError(
            f"Nothing was run.\nconfig.yaml: anchor.forget_percent is {percent}; expected one of "
            f"benchmark.forget_percents, {known['forget_percents']}"
        )
    return within_memory("ask_anchor", paths)


def within_memory(rule, paths):
    """Files of a rule that runs on request, if its GPU and its mem_mb can hold the model."""
    try:
        config_checks.check_memory(rule, config, ENTRIES, ROOT, CONFIG_FILES)
    except configuration.ConfigError as error:
        raise WorkflowError(f"Nothing was run.\n{error}") from None
    return paths


def page_files():
    """What the report's page is made of besides the results."""
    folder = ROOT / "src/unsee/data/report"
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def settings_text():
    """The configuration, every file merged, but for what is of this machine and changes no result."""
    machine = ("checkpoint", "cluster", "resources")
    kept = {k: v for k, v in config.items() if k not in machine}
    sections = provenance.portable(configuration.plain(kept))
    return yaml.safe_dump(sections, sort_keys=True, allow_unicode=True)


def rescaled():
    """The unlearned models that are asked at other scales than 1, as (forget_percent, method, seed)."""
    return [
        run for run in runs() if run[1] in ENTRIES and config["trade_off"]["scales"]
    ]


def training_times():
    """Snakemake's measurements of every job that trains."""
    return [
        f"results/jobs/{maker(method)}/{_run(percent, method, seed)}.tsv"
        for percent, method, seed in runs()
    ]


def _run(percent, method, seed):
    return RUN.format(
        model=config["model"]["name"], forget_percent=percent, method=method, seed=seed
    )


def adapter_folder(wildcards, forget_percent, method):
    """The adapter of another run of the same model and seed."""
    return f"results/models/{_run(forget_percent, method, wildcards.seed)}/adapter"


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


def reference_run(forget_percent, method):
    """The ratio and method of the model that a run's method is compared with while it trains, if it is."""
    entry = ENTRIES[method]
    if entry.method.needs.reference != "retain_only":
        return None
    if entry.settings.get("reference_model") == "vanilla":
        return 0, "vanilla"
    return forget_percent, "retain"


def reference(wildcards):
    """The adapter of that model."""
    run = reference_run(wildcards.forget_percent, wildcards.method)
    return run and adapter_folder(wildcards, *run)


def adapters(wildcards):
    """The adapters that make a run's model, in the order in which they are put on the base."""
    if wildcards.method == "vanilla":
        return [vanilla(wildcards)]
    own = adapter_folder(wildcards, wildcards.forget_percent, wildcards.method)
    return [vanilla(wildcards), own] if wildcards.method in ENTRIES else [own]


def percents_of(forget_percent):
    """The ratios whose questions a run answers: its own, and vanilla, which is asked once, all."""
    return (
        [forget_percent]
        if forget_percent
        else sorted(config["benchmark"]["forget_percents"])
    )


def asked_percents(wildcards):
    """The same of a job."""
    return percents_of(int(wildcards.forget_percent))


def splits_of(wildcards):
    """The splits that a run is trained by: of its ratio, if it is of one."""
    return split_files([p] if (p := int(wildcards.forget_percent)) else [])
