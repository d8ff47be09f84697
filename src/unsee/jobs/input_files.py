"""Where the benchmark and the base model come from, and which files jobs read of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from unsee.benchmarks import published
from unsee.benchmarks.shards import find_shards
from unsee.core.sources import digests
from unsee.models.families import source_of

#: The synthetic benchmark in MLLMU-Bench's published layout, below ``raw``.
RAW = (
    "ft_Data/train-00000-of-00001",
    "Full_Set/train-00000-of-00001",
    "Test_Set/train-00000-of-00002",
    "Test_Set/train-00001-of-00002",
    "Retain_Set/train-00000-of-00001",
)
#: The tables of people whom no model met, below their folder.
STRANGERS = ("people.parquet", "images.parquet", "training_pairs.parquet")
#: A package's pretrained decoder as a checkpoint.
LANGUAGE_MODEL = [f"results/language_model/{name}" for name in ("config.json", "model.safetensors", "tokenizer.json")]
#: The files of the checkpoint whose vision tower a base model on a pretrained decoder takes.
TOWER = [f"src/unsee/data/tiny-llava/{name}" for name in ("config.json", "model.safetensors", "processor_config.json")]


@dataclass(frozen=True)
class BenchmarkFiles:
    """The files of the configured benchmark.

    Attributes:
        section: the section ``benchmark`` of the configuration.
        root: the project's folder, from which relative paths are read.
        place: the folder of the files that jobs make.
    """

    section: Mapping[str, Any]
    root: Path
    place: str = "results/benchmark"

    @property
    def raw(self) -> list[str]:
        """The synthetic benchmark as it is written."""
        return [f"{self.place}/raw/{name}.parquet" for name in RAW]

    @property
    def tables(self) -> list[str]:
        """The canonical tables without the splits."""
        return [f"{self.place}/{table}.parquet" for table in ("people", "images", "questions", "training_pairs")]

    @property
    def held_out(self) -> dict[str, Any]:
        """How many people are held out of all training, and what decides who; empty if nobody is."""
        if self.name == "synthetic" or not self.section["held_out"]:
            return {}
        folder = None if self.folder is None else Path(self.folder)
        percents = published.every_percent(self.name, folder, self.forget_percents)
        held_out = {"people": self.section["held_out"], "seed": self.section["seed"], "percents": percents}
        return held_out if self.request is None else {**held_out, "forget": self.request}

    @property
    def held_out_note(self) -> str:
        """What every table says about the people who are held out; empty if nobody is."""
        return published.remark(self.held_out["people"], self.held_out["seed"]) if self.held_out else ""

    @property
    def held_out_tables(self) -> list[str]:
        """The tables of the people who are held out; none if nobody is."""
        return [f"{self.place}/held_out/{table}" for table in STRANGERS] if self.held_out else []

    @property
    def strangers(self) -> list[str]:
        """The tables of people whom no model met: made for the synthetic benchmark, held out of a published one."""
        return self.held_out_tables or [f"{self.place}/strangers/{table}" for table in STRANGERS]

    @property
    def questions(self) -> str:
        """The table of questions."""
        return f"{self.place}/questions.parquet"

    @property
    def split_tables(self) -> list[str]:
        """The tables that tell whether a split can be evaluated."""
        return [f"{self.place}/{table}.parquet" for table in ("people", "questions", "training_pairs")]

    def split_files(self, forget_percents: Sequence[int]) -> list[str]:
        """The splits of these ratios, one file each."""
        return [f"{self.place}/splits/forget{percent}.parquet" for percent in forget_percents]

    @property
    def name(self) -> str:
        """The benchmark's name."""
        return str(self.section["name"])

    @property
    def rule(self) -> str | None:
        """The rule that writes or fetches the published files; None for a folder that is read as it is."""
        if self.name == "synthetic":
            return "write_benchmark"
        return "fetch_benchmark" if self.section["path"] is None else None

    @property
    def forget_percents(self) -> list[int]:
        """The forget ratios in percent, ascending."""
        return sorted(self.section["forget_percents"])

    @property
    def splits(self) -> list[str]:
        """The splits of all ratios."""
        return self.split_files(self.forget_percents)

    @property
    def request(self) -> list[str] | None:
        """The ids of the people to forget, if the configuration names them; they stand at the only ratio."""
        request: list[str] | None = self.section["forget"]
        return request

    @property
    def draws_splits(self) -> bool:
        """Whether the people to forget are drawn at random."""
        return self.request is None and published.draws_splits(self.name)

    @property
    def has_published_splits(self) -> bool:
        """Whether the people to forget are read from published files."""
        return self.request is None and not published.draws_splits(self.name)

    @property
    def ratios_of_tables(self) -> list[int]:
        """The published ratios that people, images and questions depend on; none where they are the same at every ratio."""
        if published.same_at_every_ratio(self.name):
            return []
        if self.request is None:
            return self.forget_percents
        # A named request may be about anybody whom the files of any ratio ask about.
        ratios = published.PERCENTS[self.name]
        return [p for p in ratios if self.folder is None or published.has_ratio(self.name, Path(self.folder), p)]

    @property
    def ratios_to_check(self) -> list[int]:
        """The published ratios whose files a run reads."""
        return self.forget_percents if self.has_published_splits else self.ratios_of_tables

    @property
    def folder(self) -> str | None:
        """The folder with the benchmark's published layout; None if it is fetched."""
        if self.name == "synthetic":
            return f"{self.place}/raw"
        path = self.section["path"]
        return os.path.normpath(self.root / path) if path else None

    def published_files(self, forget_percent: int | None = None) -> list[str]:
        """The published files that the tables are read from, or those that the splits of one ratio are read from.

        Args:
            forget_percent: the ratio of the splits in percent; None for the tables.

        Returns:
            The files; the record of the download for a fetched benchmark; none for splits that are drawn or named.
        """
        if forget_percent and not self.has_published_splits:
            return []
        if self.name == "synthetic":
            return self.raw
        if self.folder is None:
            return [self.record]
        if forget_percent:
            folders = published.folders(self.name, [forget_percent])
            names = [name for name, percent in folders.items() if percent]
        else:
            percents = [*self.ratios_of_tables, *self.held_out.get("percents", [])]
            names = list(published.folders(self.name, percents))
        if files := published.entry(self.name).files:
            return [str(path) for path in files(Path(self.folder))]
        return [str(path) for name in names for path in find_shards(Path(self.folder) / name)]

    @property
    def record(self) -> str:
        """The record of the download, which says what was fetched."""
        return f"{self.place}/published.json"

    @property
    def patterns(self) -> list[str]:
        """Patterns of the files to fetch: those of every published ratio, so that another ratio fetches nothing anew."""
        folders = published.folders(self.name, published.PERCENTS.get(self.name, []))
        return [f"{folder}/train-*" for folder in folders]


@dataclass(frozen=True)
class ModelFiles:
    """The files of the configured base model.

    Attributes:
        section: the section ``model`` of the configuration.
        pretraining: the section ``pretraining``.
        root: the project's folder, from which relative paths are read.
    """

    section: Mapping[str, Any]
    pretraining: Mapping[str, Any]
    root: Path

    @property
    def name(self) -> str:
        """The model's name in result paths."""
        return str(self.section["name"])

    @property
    def folder(self) -> str:
        """The folder of the base model's files that jobs make: a pretrained checkpoint, or the record of the download."""
        return f"results/base/{self.name}"

    @property
    def record(self) -> str:
        """The record of the download, which says which commit was fetched."""
        return f"{self.folder}/published.json"

    @property
    def built_files(self) -> list[str]:
        """The files of a base model that is pretrained here."""
        return [f"{self.folder}/config.json", f"{self.folder}/model.safetensors"]

    @cached_property
    def code(self) -> list[str]:
        """The file of the model's family, which is loaded by name, and what it imports of the library, with their digests."""
        library = self.root / "src/unsee"
        return digests(library / "models/families" / source_of(self.section["family"]).name, library)

    @property
    def is_built(self) -> bool:
        """Whether the base model is pretrained here."""
        return bool(self.section["build"])

    @cached_property
    def spec(self) -> dict[str, Any]:
        """What a job needs to load the model: name, family, dtype and path.

        ``path`` is a folder, or the name of a published checkpoint. A published one has also its ``revision`` and the
        ``record`` of the download, which holds the commit if the revision is null.
        """
        spec = {key: self.section[key] for key in ("name", "family", "dtype")}
        if self.is_built:
            return spec | {"path": self.folder}
        local = os.path.normpath(self.root / self.section["path"])
        if os.path.isdir(local):
            return spec | {"path": local}
        return spec | {
            "path": self.section["path"],
            "revision": self.section["revision"],
            "record": self.record,
        }

    @property
    def is_fetched(self) -> bool:
        """Whether the base model is a published checkpoint that is fetched."""
        return "record" in self.spec

    @cached_property
    def files(self) -> list[str]:
        """The checkpoint's files, or the record of the download."""
        if self.is_built:
            return self.built_files
        if self.is_fetched:
            return [self.record]
        # A model card changes no result.
        paths = (path for path in Path(self.spec["path"]).glob("*") if path.is_file() and path.suffix != ".md")
        return sorted(map(str, paths))

    @property
    def rules(self) -> list[str]:
        """The rules that make or fetch the base model."""
        if self.is_built:
            return ["convert_language_model", "pretrain_base"] if self.language_model else ["pretrain_base"]
        return ["fetch_model"] if self.is_fetched else []

    @property
    def bystanders(self) -> list[str]:
        """The file of portraits that the base model is pretrained on, if there is one."""
        file = self.pretraining["bystanders"]
        return [os.path.normpath(self.root / file)] if self.is_built and file else []

    @property
    def language_model(self) -> list[str]:
        """The pretrained decoder that the base model is built on, if there is one."""
        return LANGUAGE_MODEL if self.is_built and self.pretraining["language_model"] else []

    @property
    def tower(self) -> list[str]:
        """The checkpoint whose vision tower a base model on a pretrained decoder takes."""
        return [str(self.root / file) for file in TOWER] if self.language_model else []
