"""The benchmarks that are read from files: an entry for each one with its repository, its folders and the module that reads them.

Planning reads the entries, so a loader is imported only when files are read. docs/adding-a-benchmark.md adds one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from unsee.benchmarks.readers import ImageStore, PublishedFolder
    from unsee.benchmarks.rows import Row, Tables
    from unsee.benchmarks.schema import Benchmark


class TableLoader(Protocol):
    """A module that reads the files of one benchmark. It adds every problem to ``folder.problems``."""

    def read_tables(self, folder: PublishedFolder, forget_percents: Sequence[int], images: ImageStore) -> Tables:
        """Read all tables but the images, which go to ``images``."""


class Loader(TableLoader, Protocol):
    """A loader of a benchmark whose splits are published."""

    def read_split(self, folder: PublishedFolder, forget_percent: int, people: set[str]) -> list[Row]:
        """Read the rows of the splits table for one ratio; ``people`` are the ids of all fictitious people."""


@dataclass(frozen=True)
class PublishedBenchmark:
    """What is known about a published benchmark without its files.

    Attributes:
        repository: the data set on the Hugging Face Hub.
        percents: the published ratios, in percent.
        folders: the configurations that are read at every ratio.
        ratio_folders: the configurations of one ratio; ``{forget}`` and ``{retain}`` are its percents. The first one holds
            the people to forget.
        loader: imports the module that reads them.
        same_at_every_ratio: whether all tables but the splits are the same at every ratio.
        usual_gaps: gaps (:mod:`unsee.benchmarks.coverage`) that the published data has, and that are not worth a warning.
        people: reads the ids of all people from the folder; None if only a whole reading tells them.
        files: the files to read of the folder; None for the shards of its configurations.
        draws_splits: whether the people to forget at a ratio are drawn by ``benchmark.seed``, because no split is published.
    """

    repository: str
    percents: tuple[int, ...]
    folders: tuple[str, ...]
    ratio_folders: tuple[str, ...]
    loader: Callable[[], TableLoader]
    same_at_every_ratio: bool = True
    usual_gaps: tuple[str, ...] = ()
    people: Callable[[Path], list[str]] | None = None
    files: Callable[[Path], list[Path]] | None = None
    draws_splits: bool = False

    def folders_of(self, forget_percent: int) -> list[str]:
        """The configurations of one ratio."""
        return [pattern.format(forget=forget_percent, retain=100 - forget_percent) for pattern in self.ratio_folders]


def _mllmu() -> Loader:
    from unsee.benchmarks import mllmu

    return mllmu


def _clear() -> Loader:
    from unsee.benchmarks import clear

    return clear


def _folder() -> TableLoader:
    from unsee.benchmarks import folder

    return folder


def _ids_in(configuration: str, column: str) -> Callable[[Path], list[str]]:
    """A reader of the ids in a column of a configuration."""

    def read(directory: Path) -> list[str]:
        from unsee.benchmarks.columns import TEXT
        from unsee.benchmarks.readers import PublishedFolder

        folder = PublishedFolder(directory, "", [configuration])
        ids = {" ".join(str(row[column]).split()) for _, row in folder.rows(configuration, {column: TEXT})}
        folder.problems.raise_if_any()
        return sorted(ids)

    return read


def _ids_of_folder(directory: Path) -> list[str]:
    from unsee.benchmarks import folder_people

    return [person.person_id for person in folder_people.read_people(directory)]


def _files_of_folder(directory: Path) -> list[Path]:
    from unsee.benchmarks import folder, folder_templates

    return [*folder.read_files(directory), Path(os.path.relpath(folder_templates.DEFAULTS))]


#: By the name in the configuration.
BENCHMARKS = {
    "mllmu": PublishedBenchmark(
        repository="MLLMMU/MLLMU-Bench",
        percents=(5, 10, 15),
        folders=("ft_Data", "Full_Set", "Test_Set", "Retain_Set"),
        ratio_folders=("forget_{forget}", "retain_{retain}"),
        loader=_mllmu,
        people=_ids_in("Full_Set", "ID"),
    ),
    "clear": PublishedBenchmark(
        repository="therem/CLEAR",
        percents=(1, 5, 10),
        folders=("full", "full+tofu", "retain_perturbed", "real_faces", "real_world"),
        ratio_folders=("forget{forget:02d}", "retain{retain:02d}", "forget{forget:02d}_perturbed"),
        loader=_clear,
        # Its questions are about the people to forget and a sample of the retained ones.
        same_at_every_ratio=False,
        usual_gaps=("Fictitious Without Profile Questions",),
        people=_ids_in("full", "name"),
    ),
    "folder": PublishedBenchmark(
        repository="a folder of people",
        percents=(),
        folders=(),
        ratio_folders=(),
        loader=_folder,
        people=_ids_of_folder,
        files=_files_of_folder,
        draws_splits=True,
    ),
}


REPOSITORIES = {name: benchmark.repository for name, benchmark in BENCHMARKS.items()}
PERCENTS = {name: benchmark.percents for name, benchmark in BENCHMARKS.items()}


def entry(name: str) -> PublishedBenchmark:
    """The entry of a benchmark. The synthetic benchmark is written and read in the layout of MLLMU-Bench."""
    return BENCHMARKS["mllmu" if name == "synthetic" else name]


def draws_splits(name: str) -> bool:
    """Whether the people to forget at a ratio are drawn by ``benchmark.seed``."""
    return name == "synthetic" or entry(name).draws_splits


def numbered(first: int, n: int) -> list[str]:
    """The ids of ``n`` people of the synthetic benchmark."""
    return [f"{i:03d}" for i in range(first, first + n)]


def person_ids(name: str, directory: Path) -> list[str] | None:
    """The ids of all people to learn; None if only a whole reading of the files tells them.

    Raises:
        BenchmarkError: the ids cannot be read.
    """
    read = entry(name).people
    return read(directory) if read else None


def same_at_every_ratio(name: str) -> bool:
    """Whether all tables but the splits are the same at every ratio."""
    return entry(name).same_at_every_ratio


def folders(name: str, forget_percents: Sequence[int]) -> dict[str, int | None]:
    """The configurations that are read, and the ratio that each one belongs to (None: all ratios)."""
    benchmark = entry(name)
    ratios: dict[str, int | None] = dict.fromkeys(benchmark.folders)
    return ratios | {folder: percent for percent in forget_percents for folder in benchmark.folders_of(percent)}


def has_ratio(name: str, directory: Path, forget_percent: int) -> bool:
    """Whether a folder has the files of one published ratio."""
    return all((directory / folder).is_dir() for folder in entry(name).folders_of(forget_percent))


def every_percent(name: str, directory: Path | None, forget_percents: Sequence[int]) -> list[int]:
    """All ratios whose people to forget are published, whichever of them are configured, ascending; none if they are drawn.

    Args:
        name: the benchmark.
        directory: its folder, whose ratios count; None if it is fetched: then the published ratios count.
        forget_percents: the configured ratios.
    """
    if draws_splits(name):
        return []
    if directory is None:
        return sorted({*forget_percents, *PERCENTS[name]})
    return sorted({*forget_percents, *(percent for percent in range(1, 100) if has_ratio(name, directory, percent))})


def remark(people: int, seed: int) -> str:
    """What every table says about a benchmark from which people are held out (:mod:`unsee.benchmarks.held_out`)."""
    return (
        f"{people} people whom no ratio forgets are held out (`benchmark.held_out`, drawn with seed {seed}): no model was trained "
        "on them, and no question is about them."
    )


def load(name: str, directory: Path, forget_percents: Sequence[int], scratch: Path | None = None) -> Benchmark:
    """Read and check a benchmark in its published layout.

    Args:
        name: a key of :data:`BENCHMARKS`, or ``synthetic``.
        directory: holds the folders, each with parquet shards or as ``save_to_disk`` leaves it.
        forget_percents: the ratios to read splits of.
        scratch: a folder with room for all pictures; the system's temporary folder by default.

    Raises:
        BenchmarkError: files are missing, unreadable or inconsistent; one line for each problem, with file and row.
    """
    import pyarrow as pa

    from unsee.benchmarks import coverage, schema
    from unsee.benchmarks.readers import ImageStore, PublishedFolder

    published = entry(name)
    folder = PublishedFolder(directory, published.repository, folders(name, forget_percents))
    images = ImageStore(scratch)
    tables = published.loader().read_tables(folder, forget_percents, images)
    folder.problems.raise_if_any()
    rows = {name: pa.Table.from_pylist(tables.get(name, []), schema.SCHEMAS[name]) for name in schema.WITHOUT_IMAGES}
    benchmark = schema.Benchmark(images=images.table(), **rows)
    schema.check(benchmark)
    coverage.check_sets(benchmark.questions, benchmark.training_pairs, benchmark.splits)
    coverage.check_subjects(benchmark)
    coverage.log_gaps(folder.notes, benchmark, published.usual_gaps)
    return benchmark


def read_split(
    name: str, directory: Path, forget_percent: int, people: Sequence[str], held_out: Sequence[str] = ()
) -> pa.Table:
    """Read the rows of the splits table for one ratio.

    Args:
        name, directory: as in :func:`load`.
        forget_percent: the ratio.
        people: the ids of the fictitious people; each one must have a role.
        held_out: the ids of those who are held out: the files have them, the rows do not.

    Raises:
        BenchmarkError: as :func:`load`.
    """
    from typing import cast

    import pyarrow as pa

    from unsee.benchmarks import schema
    from unsee.benchmarks.readers import PublishedFolder

    published = entry(name)
    folder = PublishedFolder(directory, published.repository, published.folders_of(forget_percent))
    rows = cast("Loader", published.loader()).read_split(folder, forget_percent, {*people, *held_out})
    folder.problems.raise_if_any()
    return pa.Table.from_pylist([row for row in rows if row["person_id"] not in set(held_out)], schema.SPLITS)
