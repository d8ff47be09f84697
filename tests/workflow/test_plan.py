"""Which jobs a configuration makes, before any of them runs and without a model library."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import error_page
from tools.memory_page import configuration, preset_files

ROOT = Path(__file__).parents[2]
Run = Callable[..., Any]


def test_the_default_run(plan: Run, root: Path, tmp_path: Path) -> None:
    n = len(yaml.safe_load((root / "config.yaml").read_text())["methods"])
    outcome = plan("", "results/table3.csv")
    assert outcome.code == 0, outcome.text
    assert outcome.jobs == {
        "write_benchmark": 1,
        "load_benchmark": 1,
        "split_benchmark": 3,
        "finetune": 1,
        "train_reference": 3,
        "unlearn": 3 * n,
        "predict": 2 + 3 + 3 * n,
        "evaluate": 3 * (2 + 3 + 3 * n),
        "scores": 1,
        "tables": 1,
    }
    assert not (tmp_path / "work" / "results").exists()


def test_without_a_target_the_summary_comes_too(plan: Run) -> None:
    outcome = plan()
    assert outcome.code == 0, outcome.text
    assert outcome.jobs["summary"] == outcome.jobs["tables"] == 1
    assert "results/costs.csv" in outcome.text
    assert "rescale" not in outcome.jobs


def test_ratios_seeds_and_entries_multiply(plan: Run, root: Path) -> None:
    outcome = plan(
        """
        seeds: [0, 1]
        benchmark: {forget_percents: [10]}
        methods: {ga: false, kl_min: false, vl_eraser: false, npo: {beta: 0.1}, npo_2: {method: npo, steps: 1}}
        """
    )
    assert outcome.code == 0, outcome.text
    jobs, n = outcome.jobs, len(yaml.safe_load((root / "config.yaml").read_text())["methods"]) - 3 + 1
    assert (jobs["finetune"], jobs["train_reference"]) == (2, 2)
    assert (jobs["unlearn"], jobs["predict"]) == (2 * n, 2 * (1 + 1 + 1 + n))


def test_seeds_multiply_training_and_no_model_is_asked_twice(plan: Run, root: Path) -> None:
    n = len(yaml.safe_load((root / "config.yaml").read_text())["methods"])
    outcome = plan("", "results/table3.csv", over=[root / "presets" / "overlay-seeds.yaml"])
    assert outcome.code == 0, outcome.text
    jobs = outcome.jobs
    assert (jobs["finetune"], jobs["train_reference"], jobs["unlearn"]) == (3, 3 * 3, 3 * 3 * n)
    # The base model is evaluated, too, and not trained.
    trained = jobs["finetune"] + jobs["train_reference"] + jobs["unlearn"]
    assert jobs["predict"] == jobs["evaluate"] / 3 == trained + 3
    assert jobs["write_benchmark"] == jobs["load_benchmark"] == jobs["tables"] == 1


def test_methods_are_asked_at_other_scales_for_the_report_alone(plan: Run, root: Path) -> None:
    n = len(yaml.safe_load((root / "config.yaml").read_text())["methods"])
    jobs = plan("", "results/report.html").jobs
    assert (jobs["rescale"], jobs["trade_off"], jobs["report"]) == (3 * n, 1, 1)
    jobs = plan("trade_off: {scales: []}", "results/report.html").jobs
    assert "rescale" not in jobs and jobs["trade_off"] == 1


def test_only_what_a_method_needs_is_made(plan: Run) -> None:
    run = "results/models/tiny-llava/forget5/{}/seed0/manifest.json"
    jobs = plan("", run.format("ga")).jobs
    assert jobs["finetune"] == 1 and "train_reference" not in jobs
    outcome = plan("", run.format("npo"))
    assert outcome.jobs["finetune"] == outcome.jobs["train_reference"] == 1
    assert "results/models/tiny-llava/forget5/retain/seed0/adapter/adapter_model.safetensors" in outcome.text
    # Whose opinion it is held against is a declared setting.
    jobs = plan("methods: {npo: {reference_model: vanilla}}", run.format("npo")).jobs
    assert jobs["finetune"] == 1 and "train_reference" not in jobs


# The run of one's people needs their folder: tests/workflow/test_your_own_people.py.
@pytest.mark.parametrize(
    "preset", sorted({path.stem for path in (ROOT / "presets").glob("*.yaml")} - {"run-your-own-people"})
)
def test_a_preset_is_a_run(plan: Run, preset: str) -> None:
    outcome = plan("", over=preset_files(preset))
    assert outcome.code == 0, outcome.text


@pytest.mark.parametrize(
    ("preset", "card"),
    [
        ("run-paper-llava-1.5-7b", ""),
        ("overlay-qwen2-vl-7b", "overlay-gpu-40gb"),
        ("overlay-clear", "overlay-gpu-80gb"),
    ],
)
def test_the_published_experiments_are_planned_without_data_or_weights(
    plan: Run, root: Path, preset: str, card: str
) -> None:
    files = preset_files(*filter(None, (preset, card)))
    outcome = plan("", "results/table3.csv", over=files)
    assert outcome.code == 0, outcome.text
    assert outcome.jobs["fetch_benchmark"] == outcome.jobs["fetch_model"] == outcome.jobs["load_benchmark"] == 1
    # A published protocol evaluates the base model and vanilla at each ratio.
    base_and_vanilla = 2 if preset == "overlay-clear" else 6
    assert (outcome.jobs["finetune"], outcome.jobs["train_reference"]) == (1, 3)
    assert outcome.jobs["predict"] == base_and_vanilla + 3 * 7
    assert "write_benchmark" not in outcome.jobs
    path = configuration(preset)["model"]["path"]
    assert f"model.path {path} is no folder in {root}: it is fetched from the Hugging Face hub." in outcome.text


def test_a_base_on_a_pretrained_decoder_is_planned_without_its_package(plan: Run, root: Path) -> None:
    outcome = plan("", "results/table3.csv", over=[root / "presets" / "run-smollm2.yaml"])
    assert outcome.code == 0, outcome.text
    assert outcome.jobs["convert_language_model"] == outcome.jobs["pretrain_base"] == 1
    assert "results/language_model/model.safetensors" in outcome.text
    assert "src/unsee/data/tiny-llava/model.safetensors" in outcome.text
    # Without a decoder to build on, nothing is converted.
    outcome = plan("model: {build: true}", "results/table3.csv")
    assert "convert_language_model" not in outcome.jobs and outcome.jobs["pretrain_base"] == 1


def test_a_published_protocol_evaluates_base_and_vanilla_at_every_ratio(plan: Run) -> None:
    outcome = plan(
        "evaluation: {protocol: mllmu-official}\nmethods: {ga_diff: false, kl_min: false, npo: false, vl_eraser: false}"
    )
    assert outcome.code == 0, outcome.text
    assert (outcome.jobs["finetune"], outcome.jobs["train_reference"], outcome.jobs["unlearn"]) == (1, 3, 2 * 3)
    assert outcome.jobs["predict"] == 2 * 3 + 3 + 2 * 3
    assert "tables" in outcome.jobs and "summary" not in outcome.jobs


@pytest.mark.parametrize("target", ["summary.csv", "ranking.csv", "report.html"])
def test_what_compares_likelihoods_is_refused_under_a_published_protocol(plan: Run, target: str) -> None:
    outcome = plan("evaluation: {protocol: mmunlearner}", f"results/{target}")
    assert outcome.code != 0
    assert "Nothing was run." in outcome.text
    assert "config.yaml: evaluation.protocol is 'mmunlearner', and the summary" in outcome.text


def test_a_known_figure_is_checked_without_training(plan: Run, root: Path) -> None:
    outcome = plan("", "results/anchor_check.csv", over=[root / "presets/run-anchor-llava-vanilla.yaml"])
    assert outcome.jobs == {
        "fetch_benchmark": 1,
        "fetch_model": 1,
        "load_benchmark": 1,
        "split_benchmark": 1,
        "predict": 1,
        "anchor_check": 1,
    }
    assert "results/models/llava-vanilla/forget5/base/seed0/predictions/generation.parquet" in outcome.text
    other = "evaluation: {protocol: mllmu-official}\nbenchmark: {forget_percents: [10]}"
    outcome = plan(other, "results/anchor_check.csv")
    assert "anchor.forget_percent is 5; expected one of benchmark.forget_percents, [10]" in outcome.text
    # The figures are of one protocol.
    outcome = plan("", "results/anchor_check.csv")
    assert "evaluation.protocol is 'unsee', and the figures of the section anchor were measured by" in outcome.text


def test_the_memory_of_a_rule_is_checked_where_its_files_are_requested(plan: Run, root: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.yaml"
    small.write_text("resources: {rescale: {gpu: 1, gpu_gb: 12}}")
    over = [root / "presets" / "run-paper-llava-1.5-7b.yaml", small]
    assert plan("", "results/table3.csv", over=over).code == 0
    rescaled = "results/models/llava-1.5-7b/forget5/ga/seed0/rescaled.parquet"
    outcome = plan("", rescaled, over=over)
    assert outcome.code != 0
    assert "run-paper-llava-1.5-7b.yaml: evaluation.batch_size is 2, and that needs a GPU of " in outcome.text
    assert "GB in rule rescale, " in outcome.text and "and gpu_gb is 12; expected a GPU of at least" in outcome.text


@pytest.mark.parametrize("official_first", [True, False])
def test_an_official_preset_is_planned_with_a_cards_overlay(
    plan: Run, root: Path, tmp_path: Path, mini_published: Path, official_first: bool
) -> None:
    """NPO's loss of the whole step is computed in one part, whichever file is laid over the other."""
    data = tmp_path / "data.yaml"
    data.write_text(f"benchmark: {{path: '{mini_published}', forget_percents: [25]}}")
    order = ["overlay-official-mllmu", "overlay-gpu-24gb"][:: 1 if official_first else -1]
    presets = [root / "presets" / f"{name}.yaml" for name in ("run-paper-llava-1.5-7b", *order)]
    outcome = plan("", "results/table3.csv", over=[*presets, data])
    assert outcome.code == 0, outcome.text
    assert outcome.jobs["unlearn"] == 4


def test_a_published_benchmark_is_read_where_it_lies(plan: Run, mini_published: Path) -> None:
    outcome = plan(f"benchmark: {{name: mllmu, path: '{mini_published}', forget_percents: [25]}}")
    assert outcome.code == 0, outcome.text
    assert "write_benchmark" not in outcome.jobs
    assert outcome.jobs["finetune"] == outcome.jobs["train_reference"] == 1


def test_a_method_is_one_file_and_one_entry(plan: Run, root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    for name in ("workflow", "src", "envs", "profiles"):
        shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(root / name, copy / name)
    (copy / "src/unsee/unlearning/methods/half.py").write_text(
        "from unsee.unlearning.method import Needs, method\n\n\n"
        '@method("half", Needs(reference="retain_only"))\n'
        "def half(forget, reference, *, share: float = 0.5):\n"
        "    return -share * forget.nll()\n"
    )
    target = "results/models/tiny-llava/forget5/half/seed0/manifest.json"
    outcome = plan("methods: {half: {share: 0.25}}", target, root=copy)
    assert outcome.code == 0, outcome.text
    assert [outcome.jobs[rule] for rule in ("finetune", "train_reference", "unlearn")] == [1, 1, 1]
    assert "method=half" in outcome.text
    outcome = plan("methods: {half: {shave: 0.25}}", target, root=copy)
    assert "preset.yaml: methods.half.shave is no known option; did you mean 'share'?" in outcome.text


def test_a_wrong_key_ends_the_call_before_anything(plan: Run, tmp_path: Path) -> None:
    outcome = plan("benchmark: {forget_percents: [5, 150]}")
    assert outcome.code != 0
    assert (
        "Nothing was run.\npreset.yaml: benchmark.forget_percents[1] is 150; expected a whole number from 1 to 99\n"
    ) in outcome.text
    assert "Traceback" not in outcome.text
    assert not (tmp_path / "work" / "results").exists()


def test_an_unknown_method_ends_the_call_before_anything(plan: Run) -> None:
    outcome = plan("methods: {nop: {}}")
    assert outcome.code != 0
    assert "preset.yaml: methods.nop is no known method; did you mean 'npo'? expected one of " in outcome.text


def test_a_spoiled_benchmark_is_found_before_anything_is_lost(
    snakemake: Run, checkpoint: Path, mini_published: Path, tmp_path: Path
) -> None:
    published = tmp_path / "published"
    shutil.copytree(mini_published, published)
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        f"model: {{path: '{checkpoint}'}}\nbenchmark: {{name: mllmu, path: '{published}', forget_percents: [25]}}\n"
    )
    folder, table = tmp_path / "work", "results/benchmark/people.parquet"
    outcome = snakemake(folder, table, "--configfile", str(settings))
    assert outcome.code == 0, outcome.text
    before = (folder / table).read_bytes()

    shard = published / "Test_Set" / "train-00001-of-00002.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    outcome = snakemake(folder, table, "--configfile", str(settings))
    assert outcome.code != 0
    assert f"Nothing was run.\n{shard}: not a readable parquet file" in outcome.text
    assert (folder / table).read_bytes() == before
    line = next(line for line in outcome.text.splitlines() if line.startswith(str(shard)))
    message = f"Nothing was run. {line.replace(str(published), 'FOLDER')}"
    error_page.check("a published file that was cut short since the last run", "planning", message)
