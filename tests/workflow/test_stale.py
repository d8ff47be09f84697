"""Nothing stale, nothing lost: what is missing or spoiled is made again, whatever happened to it; and results can be moved."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from unsee.evaluation.settings import TASKS

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
MODEL = "results/models/tiny-llava"
GA, NPO, RETAIN, VANILLA = (
    f"forget{percent}/{method}/seed0" for percent, method in ((25, "ga"), (25, "npo"), (25, "retain"), (0, "vanilla"))
)
TABLES = {"scores", "tables", "summary"}


@pytest.fixture
def broken(finished: Any, tmp_path: Path) -> Any:
    """A copy of the finished run, to be broken."""
    return finished.copy(tmp_path / "project")


def content(root: Path) -> dict[str, bytes]:
    """Every result that is the same each time: not times, nor what says where it was made."""
    contents = {}
    for path in sorted((root / "results").rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith(("results/jobs/", "results/cache/", "results/costs.csv")):
            contents[name] = path.read_bytes()
    return {name: data for name, data in contents.items() if not name.endswith("manifest.json")}


def cut(path: Path) -> None:
    """The first half of the file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """One bit of the file's last byte."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def scored(run: str) -> set[str]:
    """The jobs that score a run."""
    return {f"evaluate {run}/{task}" for task in TASKS}


def start(project: Any) -> subprocess.Popen[bytes]:
    """Snakemake as :meth:`Finished.call` runs it, with its jobs in a group of processes of its own."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", str(project.settings)]
    return subprocess.Popen(
        command, cwd=project.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def test_what_was_spoiled_lost_or_killed_is_made_again_and_is_the_same(broken: Any) -> None:
    root = broken.root
    before = content(root)

    # By hand: a job of each kind leaves something behind that it did not make.
    flip(root / MODEL / GA / "adapter" / "adapter_model.safetensors")
    cut(root / MODEL / NPO / "predictions" / "cloze.parquet")
    (root / MODEL / RETAIN / "scores" / "generation.parquet").unlink()
    ga = {f"unlearn {GA}", f"predict {GA}"} | scored(GA)
    spoiled = ga | {f"predict {NPO}", f"evaluate {RETAIN}/generation"} | scored(NPO) | TABLES
    assert broken.jobs() == spoiled
    # Whichever table is asked for.
    assert broken.jobs("results/costs.csv") == spoiled - {"summary"}
    assert broken.jobs("results/scores.csv") == spoiled - {"tables", "summary"}

    # A job that fails: its old outputs are gone, the old tables stay, and the next call does not take them for good.
    loss = root / "src" / "unsee" / "unlearning" / "methods" / "ga.py"
    code = loss.read_text()
    loss.write_text(re.sub(r"    return .*", "    raise ArithmeticError('no such loss')", code))
    outcome = broken.call()
    assert outcome.code != 0 and "no such loss" in outcome.text
    assert not (root / MODEL / GA / "adapter" / "adapter_model.safetensors").exists()
    assert (root / "results" / "table3.csv").exists()
    loss.write_text(code)
    # What else was spoiled was made again before.
    assert broken.jobs() == ga | TABLES

    # Snakemake and its job killed.
    log = root / "results" / "jobs" / "unlearn" / "tiny-llava" / f"{GA}.log"
    log.unlink()
    running = start(broken)
    while not log.exists():
        assert running.poll() is None, "it ended before its job began"
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert broken.call("--unlock").code == 0
    assert broken.jobs() == ga | TABLES

    outcome = broken.call()
    assert outcome.code == 0, outcome.text
    assert content(root) == before
    assert broken.jobs() == set()


def test_tables_cut_short_are_made_again(broken: Any) -> None:
    # And a model whose record is lost: nobody can say what it is.
    (broken.root / "results" / "jobs" / "evaluate" / "tiny-llava" / NPO / "cloze.json").unlink()
    for name in ("table3.csv", "summary.md", "costs.csv", "table3.manifest.json"):
        cut(broken.root / "results" / name)
    assert broken.jobs() == {f"evaluate {NPO}/cloze"} | TABLES


def test_a_table_does_not_mix_configurations(broken: Any) -> None:
    # Snakemake is told to go by times alone, as it does where its own records are lost.
    settings = broken.settings.read_text()
    broken.settings.write_text(settings.replace("ga: {}", "ga: {learning_rate: 0.00015}"))
    outcome = broken.call("--rerun-triggers", "mtime", "--forcerun", "scores")
    assert outcome.code != 0
    assert re.search(rf"{MODEL}/{GA}/\S+: made by other settings or code \(\w+\) than the present ones", outcome.text)


def test_every_manifest_says_what_made_it(finished: Any) -> None:
    results = finished.root / "results"
    table = json.loads((results / "table3.manifest.json").read_text())
    digests = {path: digest for outputs in table["parts"].values() for path, digest in outputs.items()}
    for run in (GA, NPO, RETAIN, VANILLA):
        folder = finished.root / MODEL / run
        for name in (
            "adapter/adapter_model.safetensors",
            *(f"{folder}/{task}.parquet" for folder in ("predictions", "scores") for task in TASKS),
            "manifest.json",
        ):
            assert digests[f"{MODEL}/{run}/{name}"] == sha256((folder / name).read_bytes()).hexdigest()
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["adapter_sha256"] == digests[f"{MODEL}/{run}/adapter/adapter_model.safetensors"]
        assert manifest["seed"] == 0 and manifest["steps"] == 2
        assert json.loads((folder / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] is None
        made = manifest["made"]
        assert made["inputs"]["results/benchmark/images.parquet"] == digests["results/benchmark/images.parquet"]
        weights = finished.root / "src/unsee/data/tiny-llava/model.safetensors"
        assert made["inputs"]["tiny-llava/model.safetensors"] == sha256(weights.read_bytes()).hexdigest()
        assert made["revision"] is None, "the copy is no repository"
        assert made["hardware"]["cores"] == os.cpu_count() and made["versions"]["torch"]
    assert table["configuration"]["methods"]["npo"]["settings"]["beta"] == 0.4
    assert table["configuration"]["seeds"] == [0]
    vanilla = f"{MODEL}/{VANILLA}/adapter/adapter_model.safetensors"
    assert (
        json.loads((finished.root / MODEL / GA / "manifest.json").read_text())["made"]["inputs"][vanilla]
        == digests[vanilla]
    )


def test_results_name_no_place_of_this_machine(finished: Any) -> None:
    places = [str(place).encode() for place in (finished.root, ROOT, Path.home(), sys.prefix)]
    looked = 0
    for path in (finished.root / "results").rglob("*"):
        if path.is_file() and path.suffix != ".log":  # a log says where its warnings come from
            data = path.read_bytes()
            if path.suffix == ".parquet":  # its text is compressed
                table = pq.read_table(path)
                texts = [c for c in table.column_names if "string" in str(table.schema.field(c).type)]
                data += repr(table.select(texts).to_pydict()).encode() + repr(table.schema.metadata).encode()
            assert not [place for place in places if place in data], path
            looked += 1
    assert looked > 60
