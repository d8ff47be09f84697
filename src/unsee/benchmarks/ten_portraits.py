"""Write an example of a folder of people: ``python -m unsee.benchmarks.ten_portraits FOLDER``.

Ten fictitious people of the synthetic benchmark, with two portraits each, in the layout of docs/your-own-people.md, and a request to
forget three of them. Nobody needs to take photos to try it, and the tiny base model, which has seen such portraits and such facts of
other people, can learn them.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from unsee.benchmarks.schema import BenchmarkError
from unsee.benchmarks.synthetic import Portraits, fictitious_profiles
from unsee.core.files import atomic_write

PEOPLE = 10
#: How many of them the request names.
FORGOTTEN = 3
#: The attributes, by the name of the synthetic benchmark.
COLUMNS = ("birth_year", "country", "region", "employment", "education", "hobby")


def write(folder: Path, *, people: int = PEOPLE, seed: int = 0) -> None:
    """Write ``people.csv``, ``photos/``, and the names of the first three people as ``forget.txt``.

    Args:
        folder: a folder that does not exist, or is empty.
        people: the number of people.
        seed: another seed gives other people.

    Raises:
        BenchmarkError: the folder has files, or there are fewer portraits than people.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BenchmarkError(f"{folder}: exists; expected a new folder, so that nothing is overwritten")
    portraits = Portraits()
    rows = []
    with atomic_write(folder) as part:
        (part / "photos").mkdir(parents=True)
        for profile in fictitious_profiles(portraits, people, seed):
            pictures = []
            for view in (0, 1):
                pictures.append(f"photos/{profile.name.lower().replace(' ', '-')}-{view + 1}.jpg")
                (part / pictures[-1]).write_bytes(portraits.jpeg[profile.identity, view])
            rows.append([profile.name, *(getattr(profile, column) for column in COLUMNS), ";".join(pictures)])
        with open(part / "people.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([["name", *COLUMNS, "pictures"], *rows])
        names = "".join(f"{row[0]}\n" for row in rows[:FORGOTTEN])
        (part / "forget.txt").write_text(names, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the folder that the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m unsee.benchmarks.ten_portraits", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people", type=int, default=PEOPLE, help=f"how many; by default {PEOPLE}")
    options = parser.parse_args(arguments)
    try:
        write(options.folder, people=options.people)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"{options.folder}: people.csv with {options.people} people, two portraits of each in photos/, and forget.txt"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
