"""The numbers of README.md are those of docs/reference, which is a run of presets/run-reference.yaml as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tools import reference
from tools.memory_page import configuration, preset_files
from unsee.jobs.config import resolve
from unsee.jobs.values import for_ratios
from unsee.unlearning import catalogue

ROOT = Path(__file__).parents[1]
MADE: dict[str, Any] = json.loads((reference.FOLDER / "table3.manifest.json").read_text(encoding="utf-8"))


# Strict: both tests fail as soon as `make reference` has run, and this goes.
not_yet = pytest.mark.xfail(strict=True, reason="docs/reference is still of the default run alone")


@not_yet
def test_the_table_in_readme_is_that_of_the_reference_results() -> None:
    tables = [pd.read_csv(reference.FOLDER / name) for name in ("table3.csv", "summary.csv")]
    page = reference.README.read_text(encoding="utf-8")
    block = reference.readme_table(*tables, reference.default_methods(), len(MADE["configuration"]["seeds"]))
    assert reference.replaced(page, block) == page, "make reference"


@not_yet
def test_the_reference_results_are_of_the_methods_and_settings_of_the_preset() -> None:
    made = MADE["configuration"]
    config = configuration(reference.PRESET)
    entries = resolve(config, catalogue.read(), [ROOT / "config.yaml", *preset_files(reference.PRESET)])
    assert list(made["methods"]) == sorted(entries)
    for name, entry in entries.items():
        settings = for_ratios(entry.settings, config["benchmark"]["forget_percents"])
        now = json.loads(json.dumps(settings))  # keys of ratios are texts in JSON
        assert made["methods"][name]["settings"] == now, f"{name}: make reference"
    for section in ("benchmark", "finetune", "seeds"):
        assert made[section] == json.loads(json.dumps(config[section])), section
    assert (
        (reference.FOLDER / "README.md")
        .read_text(encoding="utf-8")
        .startswith(reference.page(reference.Made(MADE, 0, 0)).partition("| time")[0])
    )


def test_the_preset_has_every_method_and_the_ablation_once() -> None:
    """No list is repeated: the rows are those of the files that the preset is laid over."""
    files = [ROOT / "config.yaml", *preset_files(reference.PRESET)]
    entries = resolve(configuration(reference.PRESET), catalogue.read(), files)
    every = list(resolve(configuration("run-all-methods"), catalogue.read(), files[:2]))
    assert {entry.method.name for entry in entries.values()} == set(catalogue.read())
    assert list(entries) == [*every, "without_vacuum", "without_distillation", "without_ce"]
    assert [path.stem for path in files[1:]] == ["run-all-methods", "run-ablation-vl-eraser", "run-reference"]
    assert list(map(str, files[1:])) == [
        str(ROOT / argument) for argument in reference.WHOLE_RUN if argument.endswith(".yaml")
    ]


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="the page lacks"):
        reference.replaced("# unsee\n", "| a |\n")


def test_a_table_of_two_methods_and_vanilla() -> None:
    row = {f"{name}_{column}": 0.0 for name in ("forget", "test", "retain", "celebrity") for column in _COLUMNS}
    table = pd.DataFrame(
        [
            row | {"forget_percent": 10, "modality": "image", "method": "vanilla"},
            row | {"forget_percent": 10, "modality": "image", "method": "ga", "forget_classification": 12.34},
            row | {"forget_percent": 10, "modality": "text", "method": "ga"},
            row | {"forget_percent": 5, "modality": "image", "method": "ga"},
            row | {"forget_percent": 10, "modality": "image", "method": "not_shown"},
            row | {"forget_percent": 10, "modality": "image", "method": "npo", "retain_rouge_l": 0.567},
        ]
    )
    marks = [("vanilla", 10, None, None), ("ga", 10, True, False), ("ga", 5, False, True), ("npo", 10, False, True)]
    summary = pd.DataFrame(marks, columns=["method", "forget_percent", "destroyed", "hardly_begun"])
    lines = reference.readme_table(table, summary, ["ga", "npo"], 3).splitlines()
    assert lines[0].startswith("| 10 %, with the picture, mean of 3 seeds | forget classification |")
    assert lines[2:] == [
        "| `vanilla` | 0.0 | 0.0 | 0.0 | 0.0 | 0.00 | 0.00 | 0.0 | 0.0 |",
        "| `ga` (destroyed) | 12.3 | 0.0 | 0.0 | 0.0 | 0.00 | 0.00 | 0.0 | 0.0 |",
        "| `npo` (hardly begun) | 0.0 | 0.0 | 0.0 | 0.0 | 0.00 | 0.57 | 0.0 | 0.0 |",
    ]


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """The results of a run of every method and of a default run, as far as they are kept."""
    whole, default = tmp_path / "whole", tmp_path / "default"
    for folder, names in ((whole, reference.OF_WHOLE), (default, reference.OF_DEFAULT)):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
    score = {"model": "tiny", "forget_percent": 10, "method": "ga", "seed": 1, "set": "forget", "modality": "text"}
    accuracy = score | {"task": "classification", "metric": "accuracy", "value": 50.0, "low": 40.0, "high": 60.0}
    truth = score | {"task": "classification", "metric": "truth_ratio", "value": 0.5, "low": 0.4, "high": 0.6}
    pd.DataFrame([accuracy, truth]).to_csv(whole / "scores.csv", index=False)
    point = {"model": "tiny", "forget_percent": 10, "utility_kept": 0.9, "forgetting": 0.5}
    points = [point | {"method": name, "scale": scale} for name in ("ga", "not_shown") for scale in (0.5, 1.0)]
    pd.DataFrame(points).to_csv(whole / "trade_off.csv", index=False)
    made = {key: MADE["made"][key] for key in ("hardware", "revision", "versions")} | {"inputs": {"a": "digest"}}
    manifest = {"configuration": MADE["configuration"], "made": made, "parts": {"b": "digest"}}
    (whole / "table3.manifest.json").write_text(json.dumps(manifest))
    for i, job in enumerate((whole / "jobs/scores.tsv", whole / "jobs/unlearn/ga.tsv", default / "jobs/tables.tsv")):
        job.parent.mkdir(parents=True, exist_ok=True)
        job.write_text(f"s\th:m:s\n{600 * (i + 1)}.0\t-\n")
    return whole, default


def test_what_is_kept(runs: tuple[Path, Path], tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    made = reference.keep(*runs, kept)
    assert (made.jobs, made.hours) == (3, 1.0)
    files = {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()}
    assert files == {*reference.OF_WHOLE, *reference.OF_DEFAULT} | {
        *("README.md", "scores.csv", "table3.manifest.json", f"figures/{reference.FIGURE}.svg")
    }
    assert pd.read_csv(kept / "scores.csv")["metric"].tolist() == ["accuracy"], "those of the results table"
    manifest = json.loads((kept / "table3.manifest.json").read_text())
    assert manifest["configuration"] == MADE["configuration"] and set(manifest) == {"configuration", "made"}
    page = (kept / "README.md").read_text()
    links = [link for links, _ in reference.CONTENT for link in links.values()]
    assert files | {"person.json"} == {"README.md", *links}, (
        "the page has a link to every file, and to that of tools/front.py"
    )
    assert all(f"]({link})" in page for link in links)
    assert "| time | 3 jobs, 1.0 hours one after the other |" in page
    assert f"| commit | {MADE['made']['revision']['commit']} |" in page
    assert "snakemake --cores all results/table3.csv results/robustness.csv results/membership.csv\n" in page


_COLUMNS = ("classification", "rouge_l", "cloze")
