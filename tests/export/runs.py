"""Finished runs as the workflow leaves them, made without Snakemake: training, then the receipts that jobs write."""

from __future__ import annotations

import json
import shutil
from contextlib import chdir
from pathlib import Path
from typing import Any

from unsee.jobs import receipts
from unsee.training.finetune import finetune
from unsee.unlearning import catalogue, run

ROOT = Path(__file__).parents[2]
PERCENT = 25
LORA = {"rank": 2, "alpha": 3, "dropout": 0.0, "scope": "language"}
SETTINGS: dict[str, Any] = {"learning_rate": 0.02, "epochs": None, "steps": 2, "batch_size": 4, "lora": LORA}
TABLES = [f"results/benchmark/{name}.parquet" for name in ("people", "images", "questions", "training_pairs")]
SPLIT = f"results/benchmark/splits/forget{PERCENT}.parquet"


def place_of(folder: Path, benchmark: Path) -> Path:
    """A folder with the canonical tables of a benchmark in its results."""
    shutil.copytree(benchmark, folder / "results/benchmark")
    jobs = folder / "results/jobs"
    jobs.mkdir()
    (jobs / "load_benchmark.json").write_text(json.dumps({"parameters": {"name": "mllmu"}}))
    return folder


def folder_of(method: str) -> str:
    """The folder of a run, below the folder that contains ``results/``."""
    return f"results/models/random/forget{0 if method == 'vanilla' else PERCENT}/{method}/seed0"


def make(place: Path, spec: dict[str, Any], method: str, **changed: Any) -> Path:
    """Train one run and leave its receipt.

    Args:
        place: see :func:`place_of`.
        spec: the base model.
        method: ``vanilla``, or a method; vanilla must be there.
        changed: settings.
    """
    folder, vanilla = folder_of(method), f"{folder_of('vanilla')}/adapter"
    common: dict[str, Any] = {"seed": 0, "threads": 1, "settings": SETTINGS | changed}
    parameters: dict[str, Any] = {"model": spec}
    with chdir(place):
        inputs = [*TABLES, *(str(file) for file in Path(spec["path"]).iterdir() if file.suffix != ".md")]
        output = Path(folder)
        if method == "vanilla":
            rule = "finetune"
            finetune(spec, Path("results/benchmark"), forget_percent=0, role="vanilla", output=output, **common)
        else:
            rule, declared = "unlearn", catalogue.read()[method]
            settings = {name: option.default for name, option in declared.options.items()}
            common["settings"] = {**SETTINGS, **settings, **changed}
            inputs += [SPLIT, *(f"{vanilla}/{name}" for name in ("adapter_config.json", "adapter_model.safetensors"))]
            parameters["vanilla"] = vanilla
            run.unlearn(
                spec,
                Path("results/benchmark"),
                vanilla=Path(vanilla),
                reference=None,
                method=method,
                forget_percent=PERCENT,
                output=output,
                **common,
            )
        made = receipts.describe(rule=rule, job_hash="0", parameters=parameters, inputs=inputs, project=ROOT)
        manifest = output / "manifest.json"
        # describe() keeps the last part of an absolute path; a configuration names the base model by a relative one.
        made["parameters"]["model"]["path"] = spec["path"]
        receipts.write(manifest, json.loads(manifest.read_text()) | {"made": made})
        names = ("adapter/adapter_config.json", "adapter/adapter_model.safetensors", "metrics.parquet", "manifest.json")
        written = receipts.outputs(f"{folder}/{name}" for name in names)
        receipts.write(Path(f"results/jobs/{rule}/{folder[15:]}.json"), made | {"outputs": written})
    return place / folder
