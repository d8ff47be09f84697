"""Jobs side by side on one machine: no two on one GPU, no more threads than cores, and no GPU needed where there is none.

The rules, the profile and what every script starts with are the project's; only what the scripts do then is put in their
place: they note what they were given, and when.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MINI = Path(__file__).with_name("mini.yaml")
PROBE = """\
import json, os, time
from pathlib import Path

import _job

began = time.monotonic()
threads = {name: int(os.environ[f"{name}_NUM_THREADS"]) for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "RAYON")}
if snakemake.rule == "unlearn":
    import pyarrow, torch

    threads |= {"torch": torch.get_num_threads(), "pyarrow": pyarrow.cpu_count()}
if snakemake.rule in ("finetune", "train_reference"):  # both at once, or neither gets any further
    Path("together").mkdir(exist_ok=True)
    Path("together", str(os.getpid())).touch()
    while len(os.listdir("together")) < 2:
        assert time.monotonic() < began + 60
        time.sleep(0.05)
time.sleep(0.3)
seen = {"rule": snakemake.rule, "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "threads": threads, "cores": snakemake.threads}
Path("seen").mkdir(exist_ok=True)
Path("seen", str(os.getpid())).write_text(json.dumps(seen | {"began": began, "ended": time.monotonic()}))
for output in map(Path, snakemake.output):
    output.parent.mkdir(parents=True, exist_ok=True)
    output.touch()
"""
SETTINGS = """
methods: {kl_min: false, mmunlearner: false, npo_soft: false, vl_eraser: false}
resources: {finetune: {gpu: 1}, train_reference: {gpu: 1}, unlearn: {threads: 2, gpu: 1}, predict: {threads: 2, gpu: 1}}
"""
UUIDS = ["GPU-1a2b", "GPU-3c4d"]
RUNS = ["forget0/vanilla", "forget25/retain", "forget25/ga"]


@pytest.mark.parametrize(("count", "cores"), [(2, 6), (0, 5)])
def test_jobs_side_by_side(
    snakemake: Callable[..., Any],
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    cores: int,
) -> None:
    project, folder = tmp_path / "project", tmp_path / "run"
    for name in ("workflow", "src", "envs", "profiles"):
        shutil.copytree(root / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(root / name, project / name)
    for name in (*("write_benchmark", "load_benchmark", "split_benchmark"), *("finetune", "unlearn", "predict")):
        (project / "workflow" / "scripts" / f"{name}.py").write_text(PROBE)
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    (tmp_path / "bin").mkdir()
    lines = [f"echo 'GPU {i}: NVIDIA H100 (UUID: {uuid})'" for i, uuid in enumerate(UUIDS[:count])]
    (tmp_path / "bin" / "nvidia-smi").write_text("\n".join(["#!/bin/sh", *lines, "" if lines else "exit 6"]) + "\n")
    (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # the locks of the GPUs are there
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    wanted = [f"results/models/tiny-llava/{run}/seed0/predictions/cloze.parquet" for run in RUNS]
    settings = ["--configfile", str(MINI), str(tmp_path / "settings.yaml")]
    outcome = snakemake(folder, "--cores", str(cores), *settings, "--", *wanted, root=project, new_processes=True)
    assert outcome.code == 0, outcome.text
    assert "waiting for" not in outcome.text, "no job was started for which no GPU was free"
    jobs = [json.loads(file.read_text()) for file in (folder / "seen").iterdir()]
    assert Counter(job["rule"] for job in jobs) == {key: n for key, n in outcome.jobs.items() if key != "total"}

    for job in jobs:
        assert set(job["threads"].values()) == {job["cores"]} == {2 if job["rule"] in ("unlearn", "predict") else 1}
        needed = job["rule"] in ("finetune", "train_reference", "unlearn", "predict")
        assert job["gpu"] in ((UUIDS if count else [None]) if needed else [""])
        at_once = [other for other in jobs if other["began"] <= job["began"] < other["ended"]]
        assert sum(other["cores"] for other in at_once) <= cores
        if count and needed:
            assert len({other["gpu"] for other in at_once}) == len(at_once)
    pair = [job for job in jobs if job["rule"] in ("finetune", "train_reference")]
    assert {job["gpu"] for job in pair} == (set(UUIDS) if count else {None})
