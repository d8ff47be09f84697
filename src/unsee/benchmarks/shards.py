"""Files of a published configuration, by their names: which there are, and whether they are complete."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

#: Layouts of a configuration's folder: as published, a split saved by ``save_to_disk``, or several splits saved by it.
PATTERNS = ("train-*.parquet", "data-*.arrow", "train/data-*.arrow")


def find_shards(folder: Path) -> list[Path]:
    """The files of a configuration in the order of their names; empty if there is no such folder."""
    by_layout = (sorted(folder.glob(pattern)) for pattern in PATTERNS)
    return next((files for files in by_layout if files), [])


def shard_problems(folder: Path) -> list[str]:
    """Problems with the numbers in the files' names, ``...-00000-of-00002...``: gaps, repetitions and mixed sets."""
    files = find_shards(folder)
    if not files:
        return []
    layouts = [pattern for pattern in PATTERNS if next(folder.glob(pattern), None)]
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
        return [f"{folder}: has files of several sets, {sets}; expected files of one set, delete the others"]
    counts, total = Counter(part for part, _ in pairs), totals[0]
    problems = []
    if repeated := [file.name for file, (part, _) in zip(files, pairs, strict=True) if counts[part] > 1]:
        problems.append(f"{folder}: {', '.join(repeated[:10])} have the same number; expected one file of each number")
    if beyond := [file.name for file, (part, _) in zip(files, pairs, strict=True) if part >= total]:
        problems.append(f"{folder}: {', '.join(beyond[:10])} of {total}; expected numbers from 0 to {total - 1}")
    if missing := total - sum(part < total for part in counts):
        first = next(part for part in range(total) if part not in counts)
        problems.append(
            f"{folder}: {missing} of {total} files are missing, the first is number {first:05d}; there are "
            f"{', '.join(file.name for file in files[:10])}; download it again"
        )
    return problems
