"""Check published files without a run: ``python -m unsee.benchmarks.check FOLDER [--percents 5 10]``.

Which benchmark it is follows from the folders. Exit code 0 and what is there, or 1 and what is wrong with it, a line for each finding.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from unsee.benchmarks import published, statistics
from unsee.benchmarks.schema import BenchmarkError


def guess(folder: Path) -> str:
    """The benchmark whose folders are there.

    Raises:
        BenchmarkError: none, or no such folder.
    """
    if not folder.is_dir():
        raise BenchmarkError(f"{folder}: not found; expected the folder of a published benchmark")
    counts = {
        name: sum((folder / configuration).is_dir() for configuration in published.folders(name, []))
        for name in published.REPOSITORIES
    }
    name = max(counts, key=lambda name: counts[name])
    if not counts[name]:
        known = " or ".join(
            f"{', '.join(published.folders(name, []))} ({repository})"
            for name, repository in published.REPOSITORIES.items()
        )
        raise BenchmarkError(f"{folder}: no published benchmark; expected the folders {known}")
    return name


def ratios(folder: Path) -> list[int]:
    """The ratios that a benchmark has folders of."""
    names = [re.fullmatch(r"forget_?(\d{1,2})", path.name) for path in folder.iterdir()]
    return sorted({int(name[1]) for name in names if name})


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a folder; 0 if its tables can be made."""
    parser = argparse.ArgumentParser(prog="python -m unsee.benchmarks.check", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--percents", type=int, nargs="+", help="the ratios; by default all that have a folder")
    parsed = parser.parse_args(arguments)
    logging.basicConfig(level="WARNING", format="%(levelname)s: %(message)s")
    try:
        name = guess(parsed.folder)
        percents = sorted(set(parsed.percents or ratios(parsed.folder)))
        benchmark = published.load(name, parsed.folder, percents)
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
    print(f"{parsed.folder}: {published.REPOSITORIES[name]}, no problems")
    for row in counts.to_dict("records"):
        print(f"  {row['statistic']}: {row['value']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
