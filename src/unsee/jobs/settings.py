"""Every key of config.yaml: its type and range, its default, and the comment behind it.

A class is a section, a field is a key. ``python -m unsee.jobs.config_export`` writes config.yaml and its schema from here; only the
sections ``methods``, ``attacks`` and ``resources``, whose entries are no fixed keys, are written by hand in config.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from unsee.core.option import key
from unsee.training.settings import TrainingSettings

#: Part of a shell's command line, so it has no sign that a shell reads.
_CLUSTER = {
    "expected": "a name of letters, digits and _.,:@/+-, or null for the cluster's default",
    "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.,:@/+-]*$(?!\n)",
}


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    name: Literal["synthetic", "mllmu", "clear", "folder"] = key(
        "synthetic", "synthetic (generated here), mllmu or clear (published), folder (docs/your-own-people.md)"
    )
    people: Annotated[int, ">= 8, <= 500"] = key(
        100,
        "fictitious people; the model learns all and then forgets some",
        expected="a whole number from 8 to 500 (there are so many portraits)",
    )
    celebrities: Annotated[int, ">= 1, <= 153"] = key(
        30,
        "people whom the base model knows",
        expected="a whole number from 1 to 153 (there are so many portraits)",
    )
    seed: Annotated[int, ">= 0"] = key(
        0, "another seed gives another benchmark: other people, other splits; mllmu and clear: who is held out"
    )
    forget_percents: Annotated[list[int], ">= 1, <= 99"] = key(
        [5, 10, 15],
        "forget ratios, in percent of the fictitious people",
        expected="a list of different whole numbers from 1 to 99, at least one",
        minItems=1,
    )
    forget: list[str] | str | None = key(
        None,
        "ids of the people to forget, or a file with one a line, in place of forget_percents",
        expected="a list of different ids in quotes, at least one, a file of them, or null for ratios",
        minItems=1,
        minLength=1,
    )
    held_out: Annotated[int, ">= 0"] = key(
        0, "published people: so many retained ones are kept out of all training, for results/membership.csv"
    )
    path: str | None = key(
        None,
        "mllmu and clear: folder with the published files, null: download them; folder: that folder",
        expected="the folder of the benchmark's files, or null to fetch published ones",
        minLength=1,
    )
    revision: str | None = key(
        None,
        "commit to download; null: the newest",
        expected="a commit of the published data set, or null",
        minLength=1,
    )


@dataclass(frozen=True, kw_only=True)
class Model:
    name: str = key(
        "tiny-llava",
        "its name in result paths and tables",
        expected="a name for result paths: letters, digits, dots, dashes and underscores",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)",
    )
    family: Literal["llava", "llava_chatml", "llava_next", "qwen2_vl"] = key(
        "llava", "its architecture and prompt format: llava, llava_chatml, llava_next or qwen2_vl"
    )
    path: str = key(
        "src/unsee/data/tiny-llava",
        "checkpoint folder, or owner/name of a published checkpoint (./owner/name: always a folder)",
        expected="the folder of a checkpoint or the name of a published one",
        minLength=1,
    )
    revision: str | None = key(
        None,
        "commit of a published checkpoint; null: the newest",
        expected="a commit of the published checkpoint, or null",
        minLength=1,
    )
    dtype: Literal["float32", "bfloat16", "float16"] = key(
        "float32", "how weights are stored: float32, bfloat16 or float16; computed in float32"
    )
    build: bool = key(False, "true: pretrain this base model here, and ignore path")


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    bystanders: str | None = key(
        None,
        "portraits to learn faces from (tools/render_portraits.py); null: celebrities only",
        expected="a portraits file, or null",
        minLength=1,
    )
    language_model: Literal["smollm2"] | None = key(
        None,
        "pretrained decoder to build on: smollm2 (presets/run-smollm2.yaml); null: a new one",
        expected="smollm2, or null for a fresh decoder",
    )
    seed: Annotated[int, ">= 0"] = key(0, "of initial weights and order")
    projector_steps: Annotated[int, ">= 1"] = key(
        200, "with a pretrained decoder: steps that train the projector alone, before both"
    )
    projector_learning_rate: Annotated[float, "> 0"] = key(0.001, "peak")
    known: Annotated[int, ">= 1"] = key(80, "bystanders whose facts are taught, not only their faces")
    tower_steps: Annotated[int, ">= 1"] = key(4000, "steps of the vision tower")
    tower_batch: Annotated[int, ">= 1"] = key(96, "pictures per step")
    steps: Annotated[int, ">= 1"] = key(2400, "steps of the language model")
    known_batch: Annotated[int, ">= 1"] = key(16, "people with facts per step")
    named_batch: Annotated[int, ">= 1"] = key(16, "people with a name only per step")
    learning_rate: Annotated[float, "> 0"] = key(0.0015, "peak")
    unsure_steps: Annotated[int, ">= 1"] = key(600, "last steps, with questions about strangers too")
    unsure_batch: Annotated[int, ">= 1"] = key(12, "people with facts per step, and as many strangers")
    unsure_learning_rate: Annotated[float, "> 0"] = key(0.0007, "peak")


@dataclass(frozen=True, kw_only=True)
class Tuning:
    seed: Annotated[int, ">= 0"] = key(1, "of a benchmark of other people, on whom trials are judged")
    learning_rates: Annotated[list[float], "> 0"] = key(
        [0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128],
        "trials of each method at each ratio; an entry's own grid (tune) has as many",
        expected="a list of different numbers above 0, at least two",
        minItems=2,
    )


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    protocol: Literal["unsee", "mllmu-official", "mmunlearner"] = key(
        "unsee", "ours (unsee) or a published one: mllmu-official, mmunlearner (docs/protocols.md)"
    )
    tasks: list[Literal["classification", "generation", "cloze"]] = key(
        ["classification", "generation", "cloze"],
        "tasks to evaluate",
        expected="a list of different tasks of classification, generation and cloze, at least one",
        minItems=1,
    )
    classification: Literal["likelihood", "likelihood_sum", "letter"] = key(
        "likelihood",
        "choose options by likelihood per token (likelihood), of the whole text (likelihood_sum) or of the letter",
    )
    batch_size: Annotated[int, ">= 1"] = key(16, "people at a time; changes no result")
    max_new_tokens: Annotated[int, ">= 1"] = key(24, "maximum length of a generated answer, in tokens")
    cloze_rule: Literal["exact", "contains"] = key(
        "exact", "right if the output equals the answer (exact) or contains it (contains)"
    )
    rouge_stemmer: bool = key(True, "true: ROUGE compares stems of English words")
    seed: Annotated[int, ">= 0"] = key(0, "published protocols: random choice of example questions and test pictures")
    shots: Literal[0, 1] = key(
        0, "mmunlearner: people whose questions are shown as examples, 0 or 1", expected="0 or 1"
    )


@dataclass(frozen=True, kw_only=True)
class Anchor:
    forget_percent: Annotated[int, ">= 1, <= 99"] = key(
        5, "at this forget ratio, evaluated by mllmu-official, generation with a picture"
    )
    forget: Annotated[float, ">= 0, <= 1"] = key(0.541, "expected mean over the people to forget (docs/protocols.md)")
    retain: Annotated[float, ">= 0, <= 1"] = key(0.55, "expected mean over the retained people")
    tolerance: Annotated[float, ">= 0, <= 1"] = key(0.02, "largest difference that passes")


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    scales: Annotated[list[float], "> 0, < 1"] = key(
        [0.1, 0.25, 0.5, 0.75],
        "parts of its update at which each unlearned model is evaluated again; []: none",
        expected="a list of different numbers above 0 and below 1, or [] for none",
    )
    others: Annotated[int | None, ">= 2"] = key(
        20,
        "evaluate about so many retained people and celebrities there; null: all",
        expected="a whole number from 2, or null for all",
    )
    utility: Annotated[float, "> 0, <= 1"] = key(0.95, "share of vanilla's utility at which methods are compared")


@dataclass(frozen=True, kw_only=True)
class Robustness:
    forget_percents: Annotated[list[int] | None, ">= 1, <= 99"] = key(
        [10],
        "attack the models of these forget ratios, among those of benchmark; null: of all",
        expected="a list of different whole numbers from 1 to 99, at least one, or null for all",
        minItems=1,
    )
    utility: Annotated[float, "> 0, <= 1"] = key(
        0.8, "share of vanilla's utility below which attacks are not judged: what is destroyed gains from any training"
    )
    report: bool = key(False, "true: results/report.html has a section on attacks, and waits for them")


@dataclass(frozen=True, kw_only=True)
class Membership:
    forget_percents: Annotated[list[int] | None, ">= 1, <= 99"] = key(
        [10],
        "score the models of these forget ratios, among those of benchmark; null: of all",
        expected="a list of different whole numbers from 1 to 99, at least one, or null for all",
        minItems=1,
    )
    strangers: Annotated[int | None, ">= 2, <= 492"] = key(
        None,
        "synthetic: people whom no model met, to compare with; null: three for each forgotten person, at least 20",
        expected="a whole number from 2, or null",
    )
    k_percent: Annotated[int, ">= 1, <= 100"] = key(
        20, "share of an answer's tokens that Min-K % and Min-K %++ take, in percent"
    )
    report: bool = key(False, "true: results/report.html has a section on membership, and waits for it")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    minutes: Annotated[float | None, ">= 0"] = key(
        10, "minutes of training between two checkpoints; null: by steps only"
    )
    steps: Annotated[int | None, ">= 1"] = key(
        None, "steps of training between two, if that comes first; null: no limit"
    )


@dataclass(frozen=True, kw_only=True)
class Cluster:
    partition: str | None = key(None, "partition or queue", **_CLUSTER)
    account: str | None = key(None, "account to charge", **_CLUSTER)
    qos: str | None = key(None, "quality of service", **_CLUSTER)
    gpu_model: str | None = key(None, "the cluster's name of a GPU model; null: any", **_CLUSTER)
    gpu_gb: Annotated[float | None, "> 0"] = key(
        None,
        "memory of a GPU in GB, as sold; jobs that cannot fit are refused; null: no check",
        expected="a number of GB above 0, or null",
    )


@dataclass(frozen=True, kw_only=True)
class Job:
    """The resources of a rule's jobs; a rule may have the keys of ``cluster`` too."""

    threads: Annotated[int, ">= 1"] = key(1, "CPU cores")
    mem_mb: Annotated[int, ">= 1"] = key(2000, "host memory in MB", expected="a whole number of megabytes, from 1")
    runtime: Annotated[int, ">= 1"] = key(
        30, "minutes, as many again at each retry", expected="a whole number of minutes, from 1"
    )
    gpu: Annotated[int, ">= 0"] = key(0, "GPUs")


@dataclass(frozen=True, kw_only=True)
class Config:
    """The sections of config.yaml in their order, but ``methods``, ``attacks`` and ``resources``; a comment is the section's heading."""

    benchmark: Benchmark = key(Benchmark(), "the people to learn and to forget")
    model: Model = key(Model(), "the base model, which learns and forgets")
    pretraining: Pretraining = key(
        Pretraining(), "used with model.build: true; takes an hour or two, minutes without bystanders"
    )
    seeds: Annotated[list[int], ">= 0"] = key(
        [0],
        "all training and evaluation is repeated for each seed; several show the spread",
        expected="a list of different whole numbers from 0, at least one",
        minItems=1,
    )
    finetune: TrainingSettings = key(
        TrainingSettings(
            learning_rate=0.0075, epochs=15, batch_size=4, packing="person", schedule="cosine", warmup=0.05
        ),
        "training of vanilla (on all people) and of each ratio's retain-only model",
    )
    unlearning: TrainingSettings = key(
        TrainingSettings(learning_rate=0.001, steps=172, batch_size=4), "defaults of all unlearning methods"
    )
    only: list[str] | None = key(
        None,
        "names of methods to run, such as [ga, npo]; null: all",
        expected="a list of different entries of methods, at least one, or null for all",
        minItems=1,
    )
    tuning: Tuning = key(
        Tuning(), "search of the methods' settings: for results/tuning.csv, and for keys of methods that are `tuned`"
    )
    evaluation: Evaluation = key(Evaluation(), "how models are evaluated")
    anchor: Anchor = key(Anchor(), "only for results/anchor_check.csv: ROUGE-L that the base model must reproduce")
    interval: Literal["cluster_t", "bootstrap_t"] = key(
        "cluster_t", "confidence interval of scores, clustered by person: cluster_t or bootstrap_t"
    )
    trade_off: TradeOff = key(TradeOff(), "only for the report and results/trade_off.csv: methods at equal utility")
    robustness: Robustness = key(Robustness(), "only for results/robustness.csv: models under the attacks below")
    membership: Membership = key(
        Membership(), "only for results/membership.csv: can training pairs be told from strangers' (docs/membership.md)"
    )
    checkpoint: Checkpoint = key(
        Checkpoint(), "how often a training job saves its state, to resume if killed; changes no result"
    )
    shared_models: str | None = key(
        None,
        "folder of vanilla and retain-only models that several users share (docs/cluster.md); null: none",
        expected="the absolute path of a folder, or null",
        pattern=r"^/",
    )
    cluster: Cluster = key(Cluster(), "where a cluster runs jobs (docs/cluster.md); null: the cluster's default")


#: Keys of ``unlearning`` that are not in ``finetune``, which has one group of pairs and forgets none.
UNLEARNING_ONLY = ("alternation", "modality")
