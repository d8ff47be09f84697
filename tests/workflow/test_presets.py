"""Every preset of a published model: what it says it is, what it asks for, and a whole run on a small checkpoint and few people."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from tests.realistic import published
from tools.memory_page import configuration, preset_files
from unsee.benchmarks import synthetic
from unsee.benchmarks.profiles import people
from unsee.benchmarks.question_templates import training_pairs
from unsee.jobs.config import resolve
from unsee.jobs.config_checks import check
from unsee.jobs.resources import resources_of
from unsee.unlearning.catalogue import read

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "presets"
PAPER = ("run-paper-llava-1.5-7b", "overlay-qwen2-vl-7b", "overlay-clear")
METHODS = ("ga", "ga_diff", "kl_min", "npo", "mmunlearner", "vl_eraser")
#: Rules whose jobs load the base model.
LOADING = {
    rule
    for file in (ROOT / "workflow" / "rules").glob("*.smk")
    for rule, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", file.read_text(), re.MULTILINE)
    if "model=plan.model.files" in body
}


def test_the_rules_that_load_the_model_are_these() -> None:
    assert sorted(LOADING) == ["attack", "finetune", "predict", "rescale", "score_pairs", "train_reference", "unlearn"]


@pytest.mark.parametrize("name", sorted(path.stem for path in PRESETS.glob("*.yaml")))
def test_every_rule_that_loads_a_large_model_asks_for_what_it_takes(name: str) -> None:
    """None is left at the tiny model's resources."""
    config = configuration(name)
    path = config["model"]["path"]
    large = path.count("/") == 1 or config["model"]["name"] == "smollm2-135m"  # a repository's name
    for rule in LOADING if large else ():
        resources = resources_of(config, rule)
        assert resources["gpu"] >= 1, rule
        assert resources["mem_mb"] > resources_of(configuration(), rule)["mem_mb"], rule
        assert resources["mem_mb"] >= 16_000 or not path.endswith(("7b-hf", "7B-Instruct", "Vanilla")), rule


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_settings(name: str) -> None:
    """VL-Eraser's supplement, 8.4; the fine-tuning is MLLMU-Bench's."""
    config = configuration(name)
    entries = resolve(config, read())
    assert tuple(entries) == METHODS
    lora = {"rank": 8, "alpha": 8, "dropout": 0.05, "scope": "language"}
    for method, entry in entries.items():
        settings = entry.settings
        assert settings["learning_rate"] == (2e-5 if method == "vl_eraser" else 2e-6)
        assert (settings["epochs"], settings["steps"], settings["batch_size"]) == (4, None, 4)
        assert settings["max_grad_norm"] == 0 and settings.get("optimizer", "adam") == "adam"
        assert settings["lora"] == config["finetune"]["lora"] == lora
    assert (entries["npo"].settings["beta"], entries["vl_eraser"].settings["weight"]) == (0.4, 0.5)
    finetune = config["finetune"]
    assert (finetune["learning_rate"], finetune["epochs"], finetune["max_grad_norm"]) == (2e-5, 5, 0)
    assert config["model"]["dtype"] == ("bfloat16" if "qwen" in name else "float16")  # as published


def test_the_papers_runs_differ_in_model_data_and_protocol_only() -> None:
    for name in PAPER[1:]:
        sections = yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
        # Attacks are on request, and some mean nothing on other data.
        assert sections.keys() <= {"model", "benchmark", "evaluation", "attacks"}


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_first_line_says_what_a_file_is_laid_over(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    kind = path.stem.partition("-")[0]
    over = {
        "run": r"# A run, laid over (config|run-[\w.-]+)\.yaml( and run-[\w.-]+\.yaml)?: ",
        "overlay": r"# An overlay, laid over (any run|run-[\w.-]+\.yaml)",
    }
    assert re.match(over[kind], first), first
    assert all((PRESETS / name).is_file() for name in re.findall(r"run-[\w.-]+\.yaml", first))


@pytest.mark.parametrize(
    ("names", "protocol"),
    [
        (["run-paper-llava-1.5-7b"], "mllmu-official"),
        (["overlay-qwen2-vl-7b"], "mmunlearner"),
        (["overlay-clear"], "unsee"),
        (["run-paper-llava-1.5-7b", "overlay-official-mllmu"], "mllmu-official"),
        (["run-paper-llava-1.5-7b", "overlay-official-mmunlearner"], "mmunlearner"),
        (["overlay-qwen2-vl-7b", "overlay-official-mmunlearner"], "mmunlearner"),
        (["run-anchor-llava-vanilla"], "mllmu-official"),
        *(([name, "overlay-ours-7b"], "unsee") for name in PAPER),
    ],
)
def test_who_asks_how(names: list[str], protocol: str) -> None:
    assert configuration(*names)["evaluation"]["protocol"] == protocol


@pytest.mark.parametrize("ours", [(), ("overlay-ours-7b",)])
@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("run-paper-llava-1.5-7b", "unsee"),
        ("run-paper-llava-1.5-7b", "mllmu-official"),
        ("run-paper-llava-1.5-7b", "mmunlearner"),
        ("overlay-qwen2-vl-7b", "unsee"),
        ("overlay-qwen2-vl-7b", "mmunlearner"),
        ("overlay-clear", "unsee"),
    ],
)
def test_a_protocol_may_be_laid_over_every_configuration(
    name: str, ours: tuple[str, ...], protocol: str, tmp_path: Path
) -> None:
    config = configuration(name, *ours)
    overlay = {"evaluation": {"protocol": protocol}}
    (tmp_path / "asked.yaml").write_text(yaml.safe_dump(overlay))
    update_config(config, overlay)
    files = [ROOT / "config.yaml", *preset_files(name, *ours), tmp_path / "asked.yaml"]
    check(config, read(), ROOT, files)


def test_a_folder_may_take_the_place_of_a_repository(
    realistic_checkpoint: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """As each preset's head says, for a machine without a network: the commit below it then means nothing."""
    overlay = {"model": {"path": str(realistic_checkpoint("llava", "2025"))}}
    (tmp_path / "folder.yaml").write_text(yaml.safe_dump(overlay))
    config = configuration("run-paper-llava-1.5-7b")
    update_config(config, overlay)
    check(
        config, read(), ROOT, [ROOT / "config.yaml", PRESETS / "run-paper-llava-1.5-7b.yaml", tmp_path / "folder.yaml"]
    )


def test_ours_clips_and_compares_likelihoods() -> None:
    for name in PAPER:
        config = configuration(name, "overlay-ours-7b")
        assert config["evaluation"]["classification"] == "likelihood"
        assert {entry.settings["max_grad_norm"] for entry in resolve(config, read()).values()} == {1.0}
        assert config["finetune"]["max_grad_norm"] == 1.0


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_has_not_been_run_says_so(path: Path) -> None:
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    seven = re.search(r"paper|qwen2-vl-7b|clear|official|anchor|ours", path.stem)
    assert sum(line.startswith("# Not yet run on the real weights and data") for line in head) == (1 if seven else 0)


def test_the_run_of_all_methods_has_every_method_of_the_library() -> None:
    config, methods = configuration("run-all-methods"), read()
    check(config, methods, ROOT)
    entries = resolve(config, methods)
    assert {entry.method.name for entry in entries.values()} == set(methods)
    ours = {name for name, entry in entries.items() if name == entry.method.name}
    assert ours == set(methods), "each under its own name"
    six = resolve(configuration(), methods)
    assert {name: entries[name] for name in six} == six, "those of config.yaml as they are there"


@pytest.mark.parametrize("percent", [5, 10, 15])
def test_the_full_synthetic_benchmark_takes_four_passes(percent: int) -> None:
    config = configuration("run-synthetic-full")
    faces = synthetic.Portraits()
    profile = people([(0, faces.gender[0])], "0")[0]
    pairs = len(training_pairs(profile, "0")) * config["benchmark"]["people"] * percent // 100
    for entry in resolve(config, read()).values():
        assert entry.settings["steps"] >= 4 * -(-pairs // entry.settings["batch_size"])


#: Columns of the table that a benchmark fills: CLEAR has no test questions and no cloze.
SCORED = {
    "mllmu": [(name, ("classification", "rouge_l", "cloze")) for name in ("forget", "test", "retain", "celebrity")],
    "clear": [
        ("forget", ("classification", "rouge_l")),
        ("retain", ("classification", "rouge_l")),
        ("celebrity", ("classification",)),
    ],
}


@dataclass(frozen=True)
class Case:
    """Presets, laid over each other, on a small checkpoint in a layout, with some of the methods."""

    presets: tuple[str, ...]
    family: str
    layout: str
    methods: tuple[str, ...]
    packing: str

    @property
    def name(self) -> str:
        return "+".join((*self.presets, self.packing))


CASES = [
    Case(("overlay-clear",), "llava", "v5", ("npo", "vl_eraser"), "none"),
    Case(("run-paper-llava-1.5-7b", "overlay-ours-7b"), "llava", "v5", ("kl_min",), "person"),
    Case(("overlay-qwen2-vl-7b", "overlay-official-mmunlearner"), "qwen2_vl", "v5", ("mmunlearner",), "none"),
    Case(("overlay-qwen2-vl-7b",), "qwen2_vl", "2025", ("ga_diff", "mmunlearner", "vl_eraser"), "person"),
    Case(("run-paper-llava-1.5-7b", "overlay-official-mllmu"), "llava", "2025", ("kl_min",), "none"),
    Case(("run-paper-llava-1.5-7b",), "llava", "2025", METHODS, "none"),
]


def small(case: Case, checkpoint: Path, data: Path) -> dict[str, Any]:
    """What stands in for weights, data and a GPU."""
    names = set(configuration(*case.presets)["methods"])
    percent = published.ratio(data)
    methods: dict[str, Any] = {name: {"epochs": 1} if name in case.methods else False for name in names}
    return {
        "benchmark": {"path": str(data), "forget_percents": [percent]},
        "model": {"path": str(checkpoint), "revision": None},
        "finetune": {"epochs": 1, "packing": case.packing},
        "unlearning": {"epochs": 1, "steps": None, "packing": case.packing},
        "methods": methods,
        "evaluation": {"batch_size": 16},  # changes no result; there is no GPU to fill
        "resources": {rule: {"threads": 1, "mem_mb": 3000, "gpu": 0} for rule in sorted(LOADING)},
    }


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_preset_runs_whole(
    case: Case,
    snakemake: Callable[..., Any],
    realistic_checkpoint: Callable[[str, str], Path],
    realistic_mllmu: Path,
    realistic_clear: Path,
    tmp_path: Path,
) -> None:
    config = configuration(*case.presets)
    data = realistic_clear if config["benchmark"]["name"] == "clear" else realistic_mllmu
    overlay = tmp_path / "small.yaml"
    overlay.write_text(yaml.safe_dump(small(case, realistic_checkpoint(case.family, case.layout), data)))
    files = ["--configfile", *map(str, preset_files(*case.presets)), str(overlay)]
    outcome = snakemake(tmp_path, *files, "--", "results/table3.csv")
    assert outcome.code == 0, outcome.text
    table = pd.read_csv(tmp_path / "results" / "table3.csv")
    assert set(table["method"]) == {"base", "vanilla", "retain", *case.methods}
    assert set(table["model"]) == {config["model"]["name"]}
    scored = table.filter(regex="_(classification|rouge_l|cloze)$").dropna(axis="columns", how="all")
    assert list(scored.columns) == [
        f"{name}_{task}" for name, tasks in SCORED[config["benchmark"]["name"]] for task in tasks
    ]
    assert not scored.filter(regex="^(forget|retain)_rouge_l").isna().any().any()

    # Asked by another protocol, nothing is trained again.
    protocol = {"unsee": "mllmu-official", "mllmu-official": "unsee", "mmunlearner": "unsee"}
    if config["benchmark"]["name"] == "mllmu":
        other = tmp_path / "asked.yaml"
        other.write_text(yaml.safe_dump({"evaluation": {"protocol": protocol[config["evaluation"]["protocol"]]}}))
        plan = snakemake(tmp_path, "-n", *files, str(other), "--", "results/table3.csv")
        assert plan.code == 0, plan.text
        assert plan.jobs["predict"] == 3 + len(case.methods)
        assert not {"finetune", "train_reference", "unlearn", "load_benchmark"} & set(plan.jobs)


@pytest.mark.slow
def test_the_anchor_is_asked(
    snakemake: Callable[..., Any],
    realistic_checkpoint: Callable[[str, str], Path],
    realistic_mllmu: Path,
    tmp_path: Path,
) -> None:
    case = Case(("run-anchor-llava-vanilla",), "llava", "2025", (), "none")
    overlay = small(case, realistic_checkpoint("llava", "2025"), realistic_mllmu)
    overlay["anchor"] = {"forget_percent": published.ratio(realistic_mllmu)}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(overlay))
    files = ["--configfile", str(PRESETS / "run-anchor-llava-vanilla.yaml"), str(tmp_path / "small.yaml")]
    outcome = snakemake(tmp_path, *files, "--", "results/anchor_check.csv")
    assert outcome.code == 0, outcome.text
    check = pd.read_csv(tmp_path / "results" / "anchor_check.csv")
    assert list(check["expected"]) == [0.5708, 0.494]
    assert not check["within"].any(), "random weights know nobody"
