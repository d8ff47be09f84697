# What makes a job run again, and what tells whether results belong to this configuration.
#
# Snakemake compares the time of an input first, and its content only where it is newer than the output. Code and settings are therefore
# parameters, which it compares by value: a job runs again when, and only when, something changed that decides what it makes.
import hashlib
import json
from functools import cache

from unsee.jobs import receipts as provenance
from unsee.core.sources import digests

TRAINING = ("finetune", "unlearn")


def sources(job):
    """A rule's script and what it imports of the library, each with the digest of its code."""
    return digests(ROOT / f"workflow/scripts/{job}.py", ROOT / "src/unsee")


def method_sources(wildcards):
    """The file of a run's method and what it imports of the library, each with the digest of its code."""
    return digests(ENTRIES[wildcards.method].method.source, ROOT / "src/unsee")


def _hash(*parts):
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def benchmark_identity():
    """The hash of what decides people, pictures, questions and training pairs; published files are inputs."""
    benchmark = config["benchmark"]
    made = {"synthetic": "write_benchmark"}.get(benchmark["name"], "fetch_benchmark")
    known = [benchmark["name"], sources("load_benchmark"), read_percents()]
    return _hash(*known, None if benchmark["path"] else _of_table(made))


@cache
def split_identity(percent):
    """The hash of what decides who is forgotten at a ratio."""
    return _hash(benchmark_identity(), sources("split_benchmark"), percent)


@cache
def model_identity():
    """The hash of the settings of the base model; its files are inputs."""
    known = {k: config["model"][k] for k in ("name", "family", "dtype", "revision")}
    return _hash(
        known, _of_table("pretrain_base") if config["model"]["build"] else None
    )


@cache
def _of_run(job, percent, method, seed):
    known = [job, sources(job), percent, method, seed]
    if job in TRAINING:
        known += [benchmark_identity(), model_identity()]
        known += [split_identity(percent)] if percent else []
    if job == "finetune":
        known += [configuration.plain(config["finetune"])]
    if job == "unlearn":
        entry, files = ENTRIES[method], ROOT / "src/unsee"
        known += [
            entry.method.name,
            entry.settings,
            digests(entry.method.source, files),
        ]
        others = {(0, "vanilla"), reference_run(percent, method)} - {None}
        known += [_of_run("finetune", *other, seed) for other in sorted(others)]
    if job in ("predict", "rescale"):
        trained_at = 0 if method == "vanilla" else percent
        known += [_of_run(maker(method), trained_at, method, seed)]
        known += [asking(leave_out=protocols.ONLY_SCORES)]
        known += [split_identity(of) for of in percents_of(percent)]
    if job == "rescale":
        known += [config["trade_off"][key] for key in ("scales", "others")]
    if job == "score":
        known += [_of_run("predict", percent, method, seed)]
        known += [asking(leave_out=protocols.ONLY_ANSWERS)]
    if job == "official":
        known += [_of_run("score", percent, method, seed)]
    return _hash(*known)


def maker(method):
    """The rule that makes a run's adapter."""
    return "unlearn" if method in ENTRIES else "finetune"


@cache
def receipts():
    """The receipt of every job that a table rests on, and the identity that it must have."""
    found = {
        f"results/jobs/{job}.json": _of_table(job)
        for job in ("load_benchmark", "splits")
    }
    for percent in config["benchmark"]["forget_percents"]:
        found[f"results/jobs/split_benchmark/forget{percent}.json"] = split_identity(
            percent
        )
    jobs = [(maker(run[1]), run) for run in runs()]
    jobs += [(job, run) for run in asked() for job in ("predict", "score")]
    for job, run in jobs:
        found[f"results/jobs/{job}/{_run(*run)}.json"] = _of_run(job, *run)
    return found


@cache
def _of_table(job):
    known = [job, sources(job)]
    if job == "pretrain_base":
        known += [config["model"]["family"], pretraining_settings()]
        known += [_of_table("convert_language_model")] if language_model() else []
    elif job == "convert_language_model":
        pass  # there is nothing to set
    elif job in ("ask_anchor", "anchor_check"):
        known += [model_identity(), split_identity(config["anchor"]["forget_percent"])]
        known += (
            [configuration.plain(config["anchor"])] if job == "anchor_check" else []
        )
    elif job == "fetch_model":
        known += [config["model"][key] for key in ("path", "revision")]
    elif job == "costs":
        known += [{k: v for k, v in receipts().items() if k.split("/")[2] in TRAINING}]
    elif job == "write_benchmark":
        known += [config["benchmark"][key] for key in ("people", "celebrities", "seed")]
    elif job == "fetch_benchmark":
        known += [config["benchmark"]["name"], config["benchmark"]["revision"]]
    elif job == "load_benchmark":
        known += [benchmark_identity()]
    elif job in ("splits", "dataset_statistics"):
        known += [
            split_identity(p) for p in sorted(config["benchmark"]["forget_percents"])
        ]
    else:
        known += [receipts(), list(ENTRIES)]
    return _hash(*known)


def identity(job):
    """Of a rule's jobs: the hash of everything in configuration and code that decides what they make."""
    if job in (*TRAINING, "predict", "rescale", "score", "official"):
        return lambda w: _of_run(job, int(w.forget_percent), w.method, int(w.seed))
    if job == "split_benchmark":
        return lambda w: split_identity(int(w.forget_percent))
    return _of_table(job)


def decisive():
    """The configuration without what decides no result of this run: for the table's manifest."""
    wanted = ["benchmark", "model", "seeds", "finetune", "evaluation"]
    wanted += ["pretraining"] if config["model"]["build"] else []
    methods = {
        name: {"method": entry.method.name, "settings": entry.settings}
        for name, entry in ENTRIES.items()
    }
    shown = configuration.plain({k: config[k] for k in wanted} | {"methods": methods})
    del shown["evaluation"]["batch_size"]
    return shown


def again(job, table=None, rests_on=()):
    """An input function that names no file, and sees to it that a rule's jobs run again when something is amiss.

    Snakemake asks whether a wanted file is there and older than nothing that it is made of. It does not see that a
    file was cut short or changed by hand, and takes it for better than what was made of the whole one; nor that what
    a table was made of is gone, deleted or by a new run that failed, and says "Nothing to be done". Here such jobs are
    forced, as with --forcerun; a parameter could do it, but would be recorded, and run the job once more.

    Args:
        job: the rule.
        table: a file of a rule that gathers,
        rests_on: and those without which it is worth nothing.
    """

    def nothing(wildcards):
        name, asked = config["model"]["name"], wildcards.get("model")
        if asked not in (None, name):
            raise WorkflowError(
                f"Nothing was run.\nresults/models/{asked}: model.name is '{name}', and a file under another name would have its "
                f"answers; expected results/models/{name}, or the configuration of {asked}"
            )
        of = RUN if "method" in wildcards.keys() else "forget{forget_percent}"
        names = [job, of.format(**wildcards)] if wildcards.keys() else [job]
        receipt = Path(f"results/jobs/{'/'.join(names)}.json")
        given = dict(wildcards.items())
        outputs = [o.apply_wildcards(given) for o in workflow.get_rule(job).output]
        amiss = provenance.spoiled(receipt, outputs)
        if table and exists(table) and not all(map(exists, rests_on)):
            amiss.append(table)
        workflow.dag.forcefiles.update(amiss)
        return []

    return nothing


def parts():
    """What the table rests on, from the benchmark to the scores."""
    names = [
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "metrics.parquet",
    ]
    splits = split_files(config["benchmark"]["forget_percents"])
    answers = answers_of_every_run("predictions.parquet", "item_scores.parquet")
    return TABLES + splits + of_every_run(*names, "manifest.json") + answers
