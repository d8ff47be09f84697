"""The workflow from other places: as a module, by -s, from a copy; what the workflow catalogue asks of it; Snakemake's report."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.conftest import ROOT, Finished, Outcome
from tests.workflow.conftest import call as call_there

STUDY = """\
unsee:
  benchmark: {people: 8, celebrities: 2, forget_percents: [25]}
  finetune: {epochs: 1}
  unlearning: {steps: 2}
  methods:
    ga: {learning_rate: {other: 0.001}}
    npo: false
    ga_diff: false
    kl_min: false
    mmunlearner: false
    vl_eraser: false
"""
CALLER = """\
configfile: "study.yaml"


module unsee:
    snakefile:
        "SNAKEFILE"
    config:
        CONFIG


use rule * from unsee NAMES


rule count:
    default_target: True
    input:
        "results/table3.csv",
    output:
        "lines.txt",
    shell:
        "wc -l < {input} > {output}"


onstart:
    unsee.onstart()
onerror:
    unsee.onerror()
"""


def call(folder: Path, *arguments: str) -> Outcome:
    """Run Snakemake in a folder, on the Snakefile there unless the arguments name another."""
    command = [sys.executable, "-m", "snakemake", "--directory", str(folder), "--cores", "1", *arguments]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return Outcome(done.returncode, done.stdout)


def caller(folder: Path, config: str = 'config["unsee"]', names: str = "", study: str = STUDY, extra: str = "") -> Path:
    """Another workflow, which uses this one as a module."""
    folder.mkdir(exist_ok=True)
    text = CALLER.replace("SNAKEFILE", str(ROOT / "workflow/Snakefile")).replace("CONFIG", config + extra)
    (folder / "Snakefile").write_text(text.replace(" NAMES", f" {names}" if names else ""))
    (folder / "study.yaml").write_text(study)
    return folder


@pytest.mark.parametrize("names", ["", "as unsee_*"])
def test_a_module_plans_with_its_callers_settings(tmp_path: Path, names: str) -> None:
    outcome = call(caller(tmp_path / "study", names=names), "-n")
    assert outcome.code == 0, outcome.text
    prefix = "unsee_" if names else ""
    jobs = {rule.removeprefix(prefix): count for rule, count in outcome.jobs.items()}
    # base, vanilla, retain-only and one method; three tasks each.
    assert (jobs["finetune"], jobs["train_reference"], jobs["unlearn"]) == (1, 1, 1)
    assert (jobs["predict"], jobs["evaluate"], jobs["count"]) == (4, 12, 1)


def test_a_module_may_have_the_callers_whole_configuration(tmp_path: Path) -> None:
    """A rate by ratio is taken whole, as from a file that is laid over config.yaml: {other: ...} leaves nothing of the default."""
    settings = yaml.safe_dump(yaml.safe_load(STUDY)["unsee"])
    outcome = call(caller(tmp_path / "study", config="config", study=settings), "-n", "--printshellcmds")
    assert outcome.code == 0, outcome.text
    assert outcome.jobs["unlearn"] == 1
    wrong = settings.replace("people: 8", "people: 3")
    outcome = call(caller(tmp_path / "wrong", config="config", study=wrong), "-n")
    assert outcome.code != 0 and "study.yaml: benchmark.people is 3; expected" in outcome.text


def test_a_prefix_is_refused(tmp_path: Path) -> None:
    extra = '\n    prefix:\n        "mine"'
    outcome = call(caller(tmp_path / "study", extra=extra), "-n")
    assert outcome.code != 0 and "module: has a prefix; expected none" in outcome.text


def test_rules_that_are_fetched_without_the_library_are_refused(tmp_path: Path) -> None:
    """As github(...) and -s gh: fetch them; here from a repository on this disk."""
    repository = tmp_path / "repository"
    shutil.copytree(ROOT / "workflow", repository / "workflow")
    shutil.copy(ROOT / "Snakefile", repository)
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    source = f'gitfile("{repository}", path="workflow/Snakefile", ref="main")'
    text = f"module unsee:\n    snakefile: {source}\n    config: {{}}\n\nuse rule * from unsee\n"
    (tmp_path / "Snakefile").write_text(text)
    outcome = call(tmp_path, "-n")
    assert (
        outcome.code != 0 and "the library in src/ is not fetched with the rules; clone the repository" in outcome.text
    )


@pytest.mark.slow
def test_a_module_runs(tmp_path: Path) -> None:
    folder = caller(tmp_path / "study")
    target = "results/jobs/split_benchmark/forget25.tsv"
    outcome = call(folder, "results/benchmark/splits/forget25.parquet")
    assert outcome.code == 0, outcome.text
    assert (folder / target).is_file() and (folder / "results/jobs/split_benchmark/forget25.json").is_file()
    outcome = call(folder, "-n", "results/benchmark/splits/forget25.parquet")
    assert "Nothing to be done" in outcome.text, "the receipts of a module's jobs are read"


def test_the_snakefile_in_workflow_plans_from_anywhere(tmp_path: Path) -> None:
    settings = tmp_path / "mine.yaml"
    settings.write_text(yaml.safe_dump(yaml.safe_load(STUDY)["unsee"]))
    jobs = []
    for snakefile in ("workflow/Snakefile", "Snakefile"):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        arguments = [
            "-s",
            str(ROOT / snakefile),
            "--directory",
            str(tmp_path / "elsewhere"),
            "--configfile",
            str(settings),
        ]
        outcome = call(tmp_path, "-n", *arguments)
        assert outcome.code == 0, outcome.text
        assert "profiles/default" in outcome.text, "the same defaults, whichever is named"
        jobs.append({rule: count for rule, count in outcome.jobs.items() if rule not in ("all", "default")})
    assert jobs[0] == jobs[1] and jobs[0]["unlearn"] == 1


# What https://github.com/snakemake/snakemake-workflow-catalog, scripts/generate-catalog.py, reads.


def test_the_catalogue_finds_what_it_asks_for() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"} and isinstance(usage["mandatory-flags"]["flags"], list)
    assert usage["software-stack-deployment"] == {"conda": True} and usage["report"] is True
    assert (ROOT / "config/README.md").is_file() and (ROOT / "workflow/Snakefile").is_file()
    assert {"snakemake", "workflow"} <= set(re.findall(r"\w+", (ROOT / "README.md").read_text().lower()))
    assert any((ROOT / "workflow/rules").glob("*.smk"))
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    assert schema["properties"]["benchmark"]["properties"]["people"]["description"]


def test_the_catalogues_graph_of_the_rules(tmp_path: Path) -> None:
    assert (ROOT / ".test").is_dir(), "the catalogue works there"
    arguments = ["--forceall", "-s", str(ROOT / "workflow/Snakefile"), "-d", str(tmp_path), "-c", "1", "--rulegraph"]
    command = [sys.executable, "-m", "snakemake", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "digraph" in done.stdout and "unlearn" in done.stdout


def test_pages_of_the_configuration_name_files_that_are_there() -> None:
    page = ROOT / "config/README.md"
    links = re.findall(r"\]\((\S+?)\)", page.read_text())
    assert len(links) >= 4 and all((page.parent / link).exists() for link in links)


def test_every_caption_is_used_and_there() -> None:
    rules = (
        "".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk")) + (ROOT / "Snakefile").read_text()
    )
    used = set(re.findall(r"report/(\w+)\.rst", rules))
    assert used == {file.stem for file in (ROOT / "workflow/report").glob("*.rst")}


@pytest.mark.slow
def test_snakemakes_report_holds_tables_and_captions_without_a_network(finished: Finished, tmp_path: Path) -> None:
    """A proxy that refuses every connection stands in for a machine without a network."""
    proxies: dict[str, Any] = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    arguments = ["--configfile", str(finished.settings), "--report", str(tmp_path / "report.zip")]
    outcome = call_there(finished.root, *arguments, root=finished.root, **proxies)
    assert outcome.code == 0, outcome.text
    with zipfile.ZipFile(tmp_path / "report.zip") as file:
        names = file.namelist()
        (table,) = [name for name in names if name.endswith("/table3.csv")]
        assert file.read(table) == (finished.root / "results/table3.csv").read_bytes()
        page = "".join(file.read(name).decode("utf-8", "replace") for name in names if name.endswith((".html", ".js")))
    assert any(name.endswith("/summary.csv") for name in names)
    assert (
        "The results table: for each forget ratio" in page and "when a vision-language model is asked to forget" in page
    )
