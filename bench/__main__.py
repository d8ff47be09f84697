"""`make bench`: every number of docs/performance.md in one run, a table on the screen and results/bench.csv."""

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

from bench.table import Table, exponent

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))
# One thread, said before any library reads it: times are of the processor, not of the clock.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}


def measure(what: str, **settings: Any) -> dict[str, Any]:
    """A measurement in a child process, see :mod:`bench.measure`.

    Raises:
        RuntimeError: it failed; the message has the end of what it said.
    """
    command = [sys.executable, "-m", "bench.measure", json.dumps({"what": what, **settings})]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[-1]} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def quickest(what: str, ways: Iterable[str], times: int = 3, **settings: Any) -> dict[str, dict[str, Any]]:
    """The quickest of so many measurements of each way, taken in turn: another process's work falls on all ways alike."""
    rounds = [{way: measure(what, way=way, **settings) for way in ways} for _ in range(times)]
    return {way: min((found[way] for found in rounds), key=itemgetter("seconds")) for way in rounds[0]}


def benchmark(folder: Path, people: int, percent: int) -> str:
    """Canonical tables of a synthetic benchmark."""
    from unsee.benchmarks import published, synthetic

    synthetic.write(folder / "raw", people=people, celebrities=30, forget_percents=[percent], seed=0)
    published.load("mllmu", folder / "raw", [percent]).write(folder / "tables")
    return str(folder / "tables")


def evaluation(table: Table, model: dict[str, Any], tables: str, people: int) -> None:
    """Questions a second and peak memory, three ways over the same questions, and how far their answers agree."""
    found = quickest("evaluate", WAYS, model=model, benchmark=tables, people=people)
    exact = measure("evaluate", model=model, benchmark=tables, way="batched", people=people, batch_size=1)
    for way, name in WAYS.items():
        over = {"shared": WAYS["official"], "batched": WAYS["official"]}.get(way, "")
        table.add(name, found[way]["n"] / found[way]["seconds"], "questions/s", over=over)
    table.add(OVER_BATCHED, table[WAYS["shared"]].value, "questions/s", over=WAYS["batched"])
    for way, name in WAYS.items():
        table.add(f"{name}, peak memory", found[way]["peak_mb"], "MB")
    ours = found["shared"]["answers"]
    both = list(zip(ours, exact["answers"], strict=True))
    for label, chosen in (("choices", True), ("texts", False)):
        pairs = [(a, b) for a, b in both if (a["choice"] >= 0) == chosen]
        same = sum(a["output"] == b["output"] for a, b in pairs)
        table.add(f"evaluation, {label} equal to one at a time, of {len(pairs)}", 100 * same / len(pairs), "%")


WAYS = {
    "official": "evaluation, one question at a time, 50 new tokens",
    "batched": "evaluation, batches of 16, nothing shared",
    "shared": "evaluation, shared prefix",
}
OVER_BATCHED = "evaluation, shared prefix (again)"


def training(table: Table, model: dict[str, Any], tables: str, people: int) -> None:
    """Pairs a second and peak memory, packed and not, and the largest difference between the losses of matched steps."""
    names = {
        "small": "training, one pair a sequence, 4 a step",
        "unpacked": "training, one pair a sequence, 5 people a step",
        "packed": "training, one person a sequence, 5 a step",
    }
    found = quickest("train", names, model=model, benchmark=tables, people=people)
    for way, name in names.items():
        over = "" if way == "small" else names["small"]
        table.add(name, found[way]["n"] / found[way]["seconds"], "pairs/s", over=over)
    table.add(
        "training, packed over unpacked, matched", table[names["packed"]].value, "pairs/s", over=names["unpacked"]
    )
    for way, name in names.items():
        table.add(f"{name}, peak memory", found[way]["peak_mb"], "MB")
    matched = zip(found["packed"]["losses"], found["unpacked"]["losses"], strict=True)
    table.add("training, packed to unpacked, largest difference of a loss", max(abs(a - b) for a, b in matched), "nats")


def methods(table: Table, model: dict[str, Any], tables: str, folder: Path, percent: int) -> None:
    """Seconds of every method in config.yaml, on a small benchmark, as one job has them."""
    import yaml

    from unsee.jobs import config
    from unsee.unlearning import catalogue

    settings = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    short = {**settings["finetune"], "epochs": 1}
    measure("vanilla", model=model, benchmark=tables, output=str(folder), settings=short)
    first = ""
    for name, entry in config.resolve(settings, catalogue.read()).items():
        found = measure(
            "unlearn",
            model=model,
            benchmark=tables,
            method=entry.method.name,
            adapter=str(folder / "adapter"),
            percent=percent,
            settings=entry.settings,
        )
        row = table.add(f"unlearning, {name}", found["seconds"], "s", over=first)
        first = first or row.name


def planning(table: Table, seeds: Sequence[int]) -> None:
    """Seconds in which Snakemake plans the default run for so many seeds."""
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
    """Cost as the benchmark grows, and the exponent of its growth (1: linear)."""
    found: dict[str, list[dict[str, Any]]] = {"evaluation": [], "training": []}
    for n in sizes:
        tables = benchmark(folder / str(n), n, 10)
        found["evaluation"].append(measure("evaluate", model=model, benchmark=tables, way="shared"))
        found["training"].append(measure("train", model=model, benchmark=tables, way="packed", people=n))
    for what, results in found.items():
        for quantity, unit in (("seconds", "s"), ("peak_mb", "MB")):
            first = ""
            for n, result in zip(sizes, results, strict=True):
                label = "" if quantity == "seconds" else ", peak memory"
                row = table.add(f"{what}, {n} people{label}", result[quantity], unit, over=first)
                first = first or row.name
            slope = exponent(sizes, [result[quantity] for result in results])
            table.add(f"{what}, exponent of {'time' if quantity == 'seconds' else 'memory'} over people", slope, "")


def main() -> None:
    """Measure everything; ``--quick`` takes a hundredth of the work, to see that it runs."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few people only: shows that it runs, measures nothing")
    parser.add_argument("--output", type=Path, default=ROOT / "results/bench.csv")
    arguments = parser.parse_args()
    quick = arguments.quick
    model = {"name": "tiny-llava", "family": "llava", "dtype": "float32"}
    model["path"] = str(ROOT / "src/unsee/data/tiny-llava")
    table = Table()
    load = os.getloadavg()[0]
    print(
        f"{date.today()}, load of the machine {load:.1f}; seconds are of the processor, on one thread; of evaluation and training "
        "rates the best of three\n",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = benchmark(folder / "default", 12 if quick else 100, 10)
        evaluation(table, model, tables, 2 if quick else 26)
        training(table, model, tables, 6 if quick else 40)
        small = benchmark(folder / "small", 10 if quick else 40, 10)
        methods(table, model, small, folder / "vanilla", 10)
        planning(table, [1, 2] if quick else [1, 10, 100])
        growth(table, model, folder, [8, 12] if quick else [50, 100, 200, 500])
    table.write(arguments.output)
    print(f"\n{arguments.output}")


if __name__ == "__main__":
    main()
