"""What the workflow uses of Snakemake's inside is there and does what is expected of it: tiny workflows, run by the real Snakemake."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from snakemake.exceptions import WorkflowError

from unsee.jobs import snakemake_internals

ROOT = Path(__file__).parents[2]
HEAD = f"""\
import json, os, sys

sys.path.insert(0, {str(ROOT / "src")!r})
from pathlib import Path
from unsee.jobs import snakemake_internals as internals


def record(**values):
    with open("record.jsonl", "a") as file:
        file.write(json.dumps({{"pid": os.getpid()}} | values, default=str) + "\\n")


"""


def run(folder: Path, snakefile: str, *arguments: str) -> tuple[str, dict[str, Any]]:
    """Run a workflow: what it printed, and what its first process recorded."""
    (folder / "Snakefile").write_text(HEAD + dedent(snakefile))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert (folder / "record.jsonl").exists(), done.stdout
    lines = [json.loads(line) for line in (folder / "record.jsonl").read_text().splitlines()]
    recorded: dict[str, Any] = {}
    for line in lines:
        if line["pid"] == lines[0]["pid"]:
            recorded |= line
    return done.stdout, recorded | {"lines": lines}


def test_configuration_files_and_the_command_line(tmp_path: Path) -> None:
    for name in ("own", "first", "second"):
        (tmp_path / f"{name}.yaml").write_text("{key: 1, section: {inner: 1}}\n")
    _, recorded = run(
        tmp_path,
        """
        configfile: "own.yaml"
        files = [file.name for file in internals.config_files(workflow, Path('.'), config)]
        record(files=files, set=internals.config_of_command_line(workflow))
        rule nothing:
        """,
        *("--config", "key=2", "section={inner: 3}", "--configfile", "first.yaml", "second.yaml"),
    )
    assert recorded["files"] == ["own.yaml", "first.yaml", "second.yaml"]
    assert recorded["set"] == {"key": 2, "section": {"inner": "3"}}


#: A job for each way to end, with everything that the workflow looks at while it runs.
WORKFLOW = """
internals.limit_gpu_jobs(workflow, 2)
record(
    main=internals.is_main_process(workflow),
    one_machine=internals.is_on_one_machine(workflow),
    gpu=str(workflow.global_resources["gpu"]),
)


onstart:
    limit = workflow.scheduler.job_rate_limiter
    record(jobs=internals.jobs_to_run(workflow), locked=internals.is_locked(Path.cwd()))
    internals.remove_default_rate_limit(workflow)
    record(before=limit and [limit.max_jobs, limit.timespan], after=workflow.scheduler.job_rate_limiter)


onerror:
    record(failed=internals.failed_jobs(workflow))


rule all:
    input:
        "made/a.txt",
        "broken.txt",


rule make:
    output:
        "made/{name}.txt",
    log:
        "results/jobs/make/{name}.log",
    run:
        Path(output[0]).write_text("made")


rule break_off:
    output:
        "broken.txt",
    log:
        "results/jobs/break_off.log",
    shell:
        "false"
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the workflow above recorded."""
    return run(tmp_path_factory.mktemp("workflow"), WORKFLOW, "--keep-going")[1]


def test_the_process_that_plans_and_the_processes_of_jobs(recorded: dict[str, Any]) -> None:
    assert recorded["main"] is True and recorded["one_machine"] is True
    assert False in [line.get("main") for line in recorded["lines"]], "a job that runs Python has a process of its own"


def test_the_jobs_that_are_going_to_run(recorded: dict[str, Any]) -> None:
    assert sorted(recorded["jobs"]) == [["all", {}], ["break_off", {}], ["make", {"name": "a"}]]


def test_the_default_rate_limit_is_removed(recorded: dict[str, Any]) -> None:
    assert recorded["before"] == list(snakemake_internals.DEFAULT_RATE_LIMIT)
    assert recorded["after"] is None


def test_a_rate_limit_of_the_command_line_stays(tmp_path: Path) -> None:
    _, recorded = run(tmp_path, WORKFLOW, "--keep-going", "--max-jobs-per-timespan", "7/1s")
    assert recorded["before"] == [7, 1] and recorded["after"]


def test_a_folder_is_locked_while_snakemake_works_there(recorded: dict[str, Any], tmp_path: Path) -> None:
    assert recorded["locked"] is True
    assert not snakemake_internals.is_locked(tmp_path)


def test_the_jobs_that_failed(recorded: dict[str, Any]) -> None:
    assert recorded["failed"] == [["break_off", "results/jobs/break_off.log"]]


def test_a_job_for_each_gpu_unless_the_command_line_says_otherwise(recorded: dict[str, Any], tmp_path: Path) -> None:
    assert recorded["gpu"] == 'Resource("gpu", 2)'
    assert run(tmp_path, WORKFLOW, "--dry-run", "--resources", "gpu=5")[1]["gpu"] == 'Resource("gpu", 5)'


def test_a_cluster_is_not_one_machine(tmp_path: Path) -> None:
    _, recorded = run(tmp_path, WORKFLOW, "--executor", "slurm", "--jobs", "3", "--dry-run")
    assert recorded["one_machine"] is False


FORCED = """
def forced(wildcards):
    if Path("force").exists():
        outputs = internals.outputs(workflow, "make", dict(wildcards.items()))
        record(outputs=outputs)
        internals.force(workflow, outputs)
    return []


record(parsed=True)


rule all:
    input:
        "made/a.txt",
        "made/b.txt",


rule make:
    input:
        forced,
    output:
        "made/{name}.txt",
    shell:
        "echo made > {output}"
"""


def test_finished_jobs_are_forced_to_run_again(tmp_path: Path) -> None:
    run(tmp_path, FORCED)
    assert "Nothing to be done" in run(tmp_path, FORCED, "--dry-run")[0]
    (tmp_path / "force").touch()
    text, recorded = run(tmp_path, FORCED, "made/b.txt", "--dry-run")
    assert [line["outputs"] for line in recorded["lines"] if "outputs" in line] == [["made/b.txt"]]
    assert "Forced execution" in text and "made/a.txt" not in text


def test_the_path_of_python_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Snakemake's own command line of a job has it as it stands."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    for _ in range(2):  # the path of a quoted one does not exist, so it is quoted once
        snakemake_internals.quote_interpreter()
        assert shlex.split(sys.executable) == [str(folder / "python")]
    from snakemake.executors.local import Executor
    from snakemake_interface_executor_plugins.executors.real import RealExecutor

    assert issubclass(Executor, RealExecutor)
    assert Executor.get_python_executable(object.__new__(Executor)) == sys.executable


def test_errors_become_the_one_without_a_traceback() -> None:
    with (
        pytest.raises(WorkflowError, match="Nothing was run.\nthe reason"),
        snakemake_internals.refusal(KeyError, OSError),
    ):
        raise OSError("the reason")
    with pytest.raises(ValueError), snakemake_internals.refusal(OSError):
        raise ValueError("another")
