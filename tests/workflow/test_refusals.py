"""What Snakemake is called with and cannot work: one sentence each, before the first job."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import error_page
from tests.workflow.conftest import copy_project

Run = Callable[..., Any]


def said(text: str, first: str) -> str:
    """The sentence that begins with these words."""
    (line,) = {line.strip() for line in text.splitlines() if line.strip().startswith(first)}
    return line


def test_a_target_of_another_model(plan: Run) -> None:
    outcome = plan("", "results/models/other/forget5/ga/seed0/manifest.json")
    assert outcome.code != 0
    error_page.check("results/models/OTHER/... as the target", "planning", said(outcome.text, "results/models/other"))


def test_a_list_that_contains_itself(plan: Run) -> None:
    outcome = plan("seeds: &seeds [0, *seeds]")
    assert outcome.code != 0 and len(outcome.text.splitlines()) < 12
    error_page.check("seeds: &a [0, *a]", "planning", said(outcome.text, "preset.yaml"))


def test_what_the_command_line_sets_has_the_types_of_a_file(plan: Run, root: Path) -> None:
    outcome = plan(
        "", "results/table3.csv", "--config", "only=[ga, npo]", "benchmark={people: 30, forget_percents: [10]}"
    )
    assert outcome.code == 0, outcome.text
    assert (outcome.jobs["train_reference"], outcome.jobs["unlearn"]) == (1, 2)
    outcome = plan("", "results/table3.csv", "--config", "benchmark={people: 3}")
    error_page.check("--config benchmark={people: 3}", "planning", said(outcome.text, "--config"))


def test_a_table_of_some_rows(plan: Run) -> None:
    assert plan("only: [ga, npo]").jobs["unlearn"] == 3 * 2
    outcome = plan("only: [ga, nop]")
    error_page.check("only: [ga, nop]", "planning", said(outcome.text, "preset.yaml"))
    outcome = plan("only: [ga]\nmethods: {ga: false}")
    error_page.check("only: [ga] and methods: {ga: false}", "planning", said(outcome.text, "preset.yaml"))


@pytest.mark.parametrize("part", ["{x}", "a{"])
def test_a_project_in_a_folder_with_braces(tmp_path: Path, snakemake: Run, part: str) -> None:
    project = copy_project(tmp_path / part)
    outcome = snakemake(tmp_path / "work", "-n", "results/table3.csv", root=project)
    assert outcome.code != 0
    message = said(outcome.text, str(project))
    if part == "{x}":
        error_page.check("the project in a folder {x}", "planning", message.replace(str(tmp_path), "FOLDER"))


def test_a_library_of_another_clone_that_is_in_use_already(tmp_path: Path, snakemake: Run, root: Path) -> None:
    """It would plan by its own rules what this clone's scripts then compute."""
    project = copy_project(tmp_path / "clone")
    (tmp_path / "early").mkdir()
    early = f"import sys\nsys.path.insert(0, {str(root / 'src')!r})\nimport unsee\n"
    (tmp_path / "early" / "sitecustomize.py").write_text(early)
    outcome = snakemake(tmp_path / "work", "results/table3.csv", root=project, PYTHONPATH=str(tmp_path / "early"))
    assert outcome.code != 0
    message = said(outcome.text, "The library of").replace(str(root), "OTHER").replace(str(tmp_path), "FOLDER")
    error_page.check("the library of another clone is loaded first", "planning", message)


def test_a_run_that_the_disk_has_no_room_for(tmp_path: Path, snakemake: Run, random_checkpoint: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"model: {{path: '{random_checkpoint}'}}\n")
    (tmp_path / "full").mkdir()
    full_disk = "from collections import namedtuple\nimport shutil\n"
    full_disk += "shutil.disk_usage = lambda path: namedtuple('Usage', 'total used free')(10**9, 10**9, 1000)\n"
    (tmp_path / "full" / "sitecustomize.py").write_text(full_disk)
    target = "results/models/tiny-llava/forget0/vanilla/seed0/manifest.json"
    files = ["--configfile", str(settings)]
    outcome = snakemake(tmp_path / "work", target, *files, PYTHONPATH=str(tmp_path / "full"))
    assert outcome.code != 0
    assert "results: 0.0 MB are free there; expected at least" in outcome.text and "1 adapters" in outcome.text, (
        outcome.text
    )
    assert not (tmp_path / "work" / "results" / "benchmark").exists()


@pytest.mark.parametrize("name", ["My Documents", "it's $HOME; here & 'there'"])
def test_a_python_whose_path_has_a_blank(tmp_path: Path, checkpoint: Path, name: str) -> None:
    """Project and environment in such a folder, as make has them."""
    project = copy_project(tmp_path / name)
    shutil.rmtree(tmp_path / "env", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project / ".venv"], check=True)
    packages = next((project / ".venv" / "lib").glob("python*/site-packages"))
    (packages / "packages.pth").write_text(str(Path(pytest.__file__).parents[1]))
    (project / "small.yaml").write_text(
        f"model: {{path: '{checkpoint}'}}\nbenchmark: {{people: 8, celebrities: 2, forget_percents: [25]}}\n"
    )
    command = [
        project / ".venv" / "bin" / "python",
        "-m",
        "snakemake",
        "--cores",
        "1",
        "results/benchmark/questions.parquet",
    ]
    done = subprocess.run(
        [*command, "--configfile", "small.yaml"], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (project / "results" / "benchmark" / "questions.parquet").is_file()
