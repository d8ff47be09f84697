"""`make bench`: measure every number of docs/notes/performance.md in one run, print a table and write results/bench.csv."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import date
from operator import itemgetter
from pathlib import Path
from typing import Any

from bench import geometry_rows
from bench.table import Table, exponent

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))
# One thread, set before any library reads it: all times are processor time.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}


def measure(what: str, **settings: Any) -> dict[str, Any]:
    """Run one measurement of :mod:`bench.measure` in a child process.

    Raises:
        RuntimeError: the process failed; the message holds the end of its error output.
    """
    command = [sys.executable, "-m", "bench.measure", json.dumps({"what": what, **settings})]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[-1]} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def fastest(what: str, ways: Iterable[str], times: int = 3, **settings: Any) -> dict[str, dict[str, Any]]:
    """The fastest measurement of each way; the ways take turns, so that other load on the machine affects all of them."""
    rounds = [{way: measure(what, way=way, **settings) for way in ways} for _ in range(times)]
    return {way: min((results[way] for results in rounds), key=itemgetter("seconds")) for way in rounds[0]}


def benchmark(folder: Path, people: int, percent: int) -> str:
    """Canonical tables of a synthetic benchmark."""
    from unsee.benchmarks import published, synthetic

    synthetic.write(folder / "raw", people=people, celebrities=30, forget_percents=[percent], seed=0)
    published.load("mllmu", folder / "raw", [percent]).write(folder / "tables")
    return str(folder / "tables")


def evaluation(table: Table, model: dict[str, Any], tables: str, people: int) -> None:
    """Questions per second and peak memory of three ways over the same questions, and the share of equal answers."""
    results = fastest("evaluate", WAYS, model=model, benchmark=tables, people=people)
    exact = measure("evaluate", model=model, benchmark=tables, way="batched", people=people, batch_size=1)
    for way, name in WAYS.items():
        over = {"shared": WAYS["official"], "batched": WAYS["official"]}.get(way, "")
        table.add(name, results[way]["n"] / results[way]["seconds"], "questions/s", over=over)
    table.add(OVER_BATCHED, table[WAYS["shared"]].value, "questions/s", over=WAYS["batched"])
    for way, name in WAYS.items():
        table.add(f"{name}, peak memory", results[way]["peak_mb"], "MB")
    ours = results["shared"]["answers"]
    both = list(zip(ours, exact["answers"], strict=True))
    for label, is_choice in (("choices", True), ("texts", False)):
        pairs = [(a, b) for a, b in both if (a["choice"] >= 0) == is_choice]
        same = sum(a["output"] == b["output"] for a, b in pairs)
        table.add(f"evaluation, {label} equal to one at a time, of {len(pairs)}", 100 * same / len(pairs), "%")


WAYS = {
    "official": "evaluation, one question at a time, 50 new tokens",
    "batched": "evaluation, batches of 16, nothing shared",
    "shared": "evaluation, shared prefix",
}
OVER_BATCHED = "evaluation, shared prefix (again)"


def training(table: Table, model: dict[str, Any], tables: str, people: int) -> None:
    """Pairs per second and peak memory with and without packing, and the largest difference between losses of equal steps."""
    names = {
        "small": "training, one pair a sequence, 4 a step",
        "unpacked": "training, one pair a sequence, 5 people a step",
        "packed": "training, one person a sequence, 5 a step",
    }
    results = fastest("train", names, model=model, benchmark=tables, people=people)
    for way, name in names.items():
        over = "" if way == "small" else names["small"]
        table.add(name, results[way]["n"] / results[way]["seconds"], "pairs/s", over=over)
    table.add(
        "training, packed over unpacked, matched", table[names["packed"]].value, "pairs/s", over=names["unpacked"]
    )
    for way, name in names.items():
        table.add(f"{name}, peak memory", results[way]["peak_mb"], "MB")
    matched = zip(results["packed"]["losses"], results["unpacked"]["losses"], strict=True)
    table.add("training, packed to unpacked, largest difference of a loss", max(abs(a - b) for a, b in matched), "nats")


def methods(table: Table, model: dict[str, Any], tables: str, folder: Path, percent: int) -> None:
    """Seconds of one job of every method in config.yaml, on a small benchmark."""
    import yaml

    from unsee.jobs import config
    from unsee.unlearning import catalogue

    settings = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    short = {**settings["finetune"], "epochs": 1}
    measure("vanilla", model=model, benchmark=tables, output=str(folder), settings=short)
    first = ""
    for name, entry in config.resolve(settings, catalogue.read()).items():
        result = measure(
            "unlearn",
            model=model,
            benchmark=tables,
            method=entry.method.name,
            adapter=str(folder / "adapter"),
            percent=percent,
            settings=entry.at(percent).settings,
        )
        row = table.add(f"unlearning, {name}", result["seconds"], "s", over=first)
        first = first or row.name


def planning(table: Table, seeds: Sequence[int]) -> None:
    """Seconds in which Snakemake plans the default run with each number of seeds."""
    first = ""
    for n in seeds:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "seeds.yaml").write_text(f"seeds: {list(range(n))}\n", encoding="utf-8")
            command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
            command += ["--dry-run", "--quiet", "all", "--directory", folder, "--configfile", f"{folder}/seeds.yaml"]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        row = table.add(f"planning, default run x {n} seed{'s'[: n > 1]}", seconds, "s", over=first)
        first = first or row.name


def growth(table: Table, model: dict[str, Any], folder: Path, sizes: Sequence[int]) -> None:
    """Cost at several benchmark sizes, and the exponent of its growth (1 is linear)."""
    results: dict[str, list[dict[str, Any]]] = {"evaluation": [], "training": []}
    for n in sizes:
        tables = benchmark(folder / str(n), n, 10)
        results["evaluation"].append(measure("evaluate", model=model, benchmark=tables, way="shared"))
        results["training"].append(measure("train", model=model, benchmark=tables, way="packed", people=n))
    for what, measured in results.items():
        for quantity, unit in (("seconds", "s"), ("peak_mb", "MB")):
            first = ""
            for n, result in zip(sizes, measured, strict=True):
                label = "" if quantity == "seconds" else ", peak memory"
                row = table.add(f"{what}, {n} people{label}", result[quantity], unit, over=first)
                first = first or row.name
            slope = exponent(sizes, [result[quantity] for result in measured])
            table.add(f"{what}, exponent of {'time' if quantity == 'seconds' else 'memory'} over people", slope, "")


def main() -> None:
    """Measure everything; ``--quick`` does a hundredth of the work, as a test that it runs."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a few people only: tests that it runs, the numbers mean nothing"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "results/bench.csv")
    arguments = parser.parse_args()
    quick = arguments.quick
    model = {"name": "tiny-llava", "family": "llava", "dtype": "float32"}
    model["path"] = str(ROOT / "src/unsee/data/tiny-llava")
    table = Table()
    load = os.getloadavg()[0]
    print(
        f"{date.today()}, load of the machine {load:.1f}; seconds are processor time on one thread; evaluation and training "
        "rates are the best of three\n",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = benchmark(folder / "default", 12 if quick else 100, 10)
        evaluation(table, model, tables, 2 if quick else 26)
        training(table, model, tables, 6 if quick else 40)
        small = benchmark(folder / "small", 10 if quick else 40, 10)
        methods(table, model, small, folder / "vanilla", 10)
        geometry = "small-" if quick else ""
        names = {
            f"{geometry}llava": "576 picture tokens (LLaVA-1.5)",
            f"{geometry}qwen2_vl": "1,024 picture tokens (Qwen2-VL)",
        }
        geometry_rows.add_rows(table, measure, fastest, names, times=1)
        planning(table, [1, 2] if quick else [1, 10, 100])
        growth(table, model, folder, [8, 12] if quick else [50, 100, 200, 500])
    table.write(arguments.output)
    print(f"\n{arguments.output}")


if __name__ == "__main__":
    main()
