"""The published benchmarks by name: which folders they have, where they are published, and who reads them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from unsee.benchmarks.schema import Benchmark

#: Name in the configuration, and the data set that has the files.
REPOSITORIES = {"mllmu": "MLLMMU/MLLMU-Bench", "clear": "therem/CLEAR"}
#: The ratios that are published, in percent.
PERCENTS = {"mllmu": (5, 10, 15), "clear": (1, 5, 10)}
#: Where the files of a configuration lie in its folder: as published, as ``save_to_disk`` leaves a split, or a set of splits.
SHARDS = ("train-*.parquet", "data-*.arrow", "train/data-*.arrow")


def shards(folder: Path) -> list[Path]:
    """The files of a configuration in the order of their names; none if there is no such folder."""
    found = (sorted(folder.glob(pattern)) for pattern in SHARDS)
    return next((files for files in found if files), [])


def shard_problems(folder: Path) -> list[str]:
    """What is wrong with a configuration's files by their names, ``...-00000-of-00002...``: a gap, two sets, one twice."""
    files = shards(folder)
    if not files:
        return []
    layouts = [pattern for pattern in SHARDS if next(folder.glob(pattern), None)]
    if len(layouts) > 1:
        return [f"{folder}: has {' and '.join(layouts)}; expected files of one layout, delete the others"]
    expected = "expected names that end in -00000-of-0000N, as published"
    numbers = [re.search(r"-(\d+)-of-(\d+)[-.]", file.name) for file in files]
    if unnumbered := [file.name for file, number in zip(files, numbers, strict=True) if number is None]:
        return [f"{folder}: {', '.join(unnumbered[:10])} has no number; {expected}"]
    pairs = [(int(number[1]), int(number[2])) for number in numbers if number]
    totals = sorted({total for _, total in pairs})
    if len(totals) > 1:
        sets = " and ".join(
            f"of {total} ({next(f.name for f, p in zip(files, pairs, strict=True) if p[1] == total)})"
            for total in totals
        )
        return [f"{folder}: has files of several sets, {sets}; expected those of one, delete the others"]
    counts, total = Counter(part for part, _ in pairs), totals[0]
    found = []
    if twice := [file.name for file, (part, _) in zip(files, pairs, strict=True) if counts[part] > 1]:
        found.append(f"{folder}: {', '.join(twice[:10])} have the same number; expected one file of each number")
    if beyond := [file.name for file, (part, _) in zip(files, pairs, strict=True) if part >= total]:
        found.append(f"{folder}: {', '.join(beyond[:10])} of {total}; expected numbers from 0 to {total - 1}")
    if missing := total - sum(part < total for part in counts):
        first = next(part for part in range(total) if part not in counts)
        found.append(
            f"{folder}: {missing} of {total} files are missing, the first is number {first:05d}; there are "
            f"{', '.join(file.name for file in files[:10])}; download it again"
        )
    return found


def folders(name: str, forget_percents: Sequence[int]) -> dict[str, int | None]:
    """The folders that a benchmark's loader reads, and the ratio that each is for (None: for all)."""
    if name == "clear":
        always = ["full", "full+tofu", "retain_perturbed", "real_faces", "real_world"]
        of_ratio = ["forget{:02d}", "retain{:02d}", "forget{:02d}_perturbed"]
    else:
        always = ["ft_Data", "Full_Set", "Test_Set", "Retain_Set"]
        of_ratio = ["forget_{}", "retain_{}"]
    found: dict[str, int | None] = dict.fromkeys(always)
    for percent in forget_percents:
        for pattern in of_ratio:
            found[pattern.format(100 - percent if pattern.startswith("retain") else percent)] = percent
    return found


def load(name: str, directory: Path, forget_percents: Sequence[int], scratch: Path | None = None) -> Benchmark:
    """Read a benchmark in its published layout (the synthetic one is written in MLLMU-Bench's).

    Args:
        name: as in the configuration.
        directory: holds the folders.
        forget_percents: the ratios to read splits of.
        scratch: a folder with room for all pictures.

    Raises:
        BenchmarkError: something is missing, unreadable or inconsistent; the message names file and row.
    """
    if name == "clear":
        from unsee.benchmarks import clear

        return clear.load(directory, forget_percents, scratch)
    from unsee.benchmarks import mllmu

    return mllmu.load(directory, forget_percents, scratch)


def read_split(name: str, directory: Path, percent: int, people: Sequence[str]) -> pa.Table:
    """The rows of the splits table for one ratio.

    Args:
        name, directory: as in :func:`load`.
        percent: the ratio.
        people: the ids of the fictitious people, all of whom it must have.

    Raises:
        BenchmarkError: as :func:`load`.
    """
    import pyarrow as pa

    from unsee.benchmarks import clear, mllmu, readers, schema

    of_ratio = [folder for folder, at in folders(name, [percent]).items() if at is not None]
    published = readers.PublishedFolder(directory, REPOSITORIES[name], of_ratio)
    tables: dict[str, list[dict[str, Any]]] = {"splits": []}
    reader = clear.read_split if name == "clear" else mllmu.read_split
    reader(published, percent, set(people), tables)
    published.problems.raise_if_any()
    return pa.Table.from_pylist(tables["splits"], schema.SPLITS)


def same_at_every_ratio(name: str) -> bool:
    """Whether all tables but the splits are the same whichever ratios are read; CLEAR asks about its ratios' people only."""
    return name != "clear"
