"""Check a benchmark's files without a run: ``python -m unsee.benchmarks.check FOLDER [--percents 5 10]``.

The folder holds a published benchmark, which is recognised by its folders, or people of one's own in people.csv.
The exit code is 0, with counts of its contents, or 1, with a line for each problem.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from unsee.benchmarks import statistics
from unsee.benchmarks.folder_people import find_table
from unsee.benchmarks.published import BENCHMARKS, load
from unsee.benchmarks.schema import BenchmarkError


def recognise(folder: Path) -> str:
    """The name of the benchmark most of whose folders are there, or ``folder`` where there is a table of people.

    Raises:
        BenchmarkError: the folder does not exist, or has neither.
    """
    if not folder.is_dir():
        raise BenchmarkError(f"{folder}: not found; expected the folder of a benchmark")
    if find_table(folder) is not None:
        return "folder"
    counts = {
        name: sum((folder / configuration).is_dir() for configuration in benchmark.folders)
        for name, benchmark in BENCHMARKS.items()
    }
    name = max(counts, key=lambda name: counts[name])
    if not counts[name]:
        expected = " or ".join(f"{', '.join(b.folders)} ({b.repository})" for b in BENCHMARKS.values() if b.folders)
        raise BenchmarkError(f"{folder}: no benchmark; expected people.csv, or the folders {expected}")
    return name


def find_percents(name: str, folder: Path) -> list[int]:
    """The published ratios of which the folder has people to forget."""
    if BENCHMARKS[name].draws_splits:
        return []
    return [percent for percent in range(1, 100) if (folder / BENCHMARKS[name].folders_of(percent)[0]).is_dir()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a folder; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m unsee.benchmarks.check", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--percents", type=int, nargs="+", help="the ratios; by default all that have a folder")
    options = parser.parse_args(arguments)
    logging.basicConfig(level="WARNING", format="%(levelname)s: %(message)s")
    try:
        name = recognise(options.folder)
        percents = sorted(set(options.percents or find_percents(name, options.folder)))
        benchmark = load(name, options.folder, percents)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    counts = statistics.describe(
        benchmark.people,
        benchmark.questions,
        benchmark.training_pairs,
        images=len(benchmark.images),
        percents=percents,
    )
    print(f"{options.folder}: {BENCHMARKS[name].repository}, no problems")
    for row in counts.to_dict("records"):
        print(f"  {row['statistic']}: {row['value']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
