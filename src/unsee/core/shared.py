"""Trained models that several results folders share, in a folder outside of them.

An entry is named by a digest of everything that decides its content, so it is never out of date; any entry may be deleted at any time.
It holds copies, not links: a file that is damaged in one results folder is damaged in no other. Each copy is checked when it is taken.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsee.core.files import atomic_write, follow_umask, sha256

log = logging.getLogger(__name__)

#: What a training job leaves, below the run's folder.
FILES = ("adapter/adapter_config.json", "adapter/adapter_model.safetensors", "metrics.parquet", "manifest.json")
_RECORD = "record.json"


@dataclass(frozen=True)
class SharedModel:
    """The place of one model.

    Attributes:
        folder: of all shared models.
        key: the digest of everything that decides the model.
    """

    folder: Path
    key: str

    @property
    def entry(self) -> Path:
        """The folder of this model."""
        return self.folder / self.key[:2] / self.key

    def fetch(self, output: Path) -> dict[str, Any] | None:
        """Copy the model into a run's folder.

        Args:
            output: the folder of the run.

        Returns:
            What its training cost, as :meth:`keep` recorded it, with the ``key``; None if the model is not there or is damaged.
        """
        if not self.entry.is_dir():
            return None
        with tempfile.TemporaryDirectory() as name:
            copy = Path(name)
            (copy / "adapter").mkdir()
            try:
                record = json.loads((self.entry / _RECORD).read_text(encoding="utf-8"))
                for file in FILES:
                    shutil.copyfile(self.entry / file, copy / file)
                damaged = [file for file in FILES if sha256(copy / file) != record["sha256"][file]]
                cost = dict(record["cost"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("shared model %s: cannot be read (%s); training it again", self.entry, error)
                return None
            if damaged:
                log.warning("shared model %s: %s is damaged; training it again", self.entry, damaged[0])
                return None
            for part in ("adapter", *FILES[2:]):
                with atomic_write(output / part) as target:
                    shutil.move(copy / part, target)
        log.info("taken from the shared models: %s", self.entry)
        return cost | {"key": self.key}

    def keep(self, output: Path, cost: dict[str, float]) -> None:
        """Store the model of a run's folder, in place of a damaged one; a folder that cannot be written is a warning.

        Args:
            output: the folder of the run.
            cost: what the training cost, by name.
        """
        try:
            self.entry.parent.mkdir(parents=True, exist_ok=True)
            # A name of its own, because the same model may be stored from several nodes at once.
            part = Path(tempfile.mkdtemp(dir=self.entry.parent, suffix=".part"))
            try:
                (part / "adapter").mkdir()
                for file in FILES:
                    shutil.copyfile(output / file, part / file)
                record = {"sha256": {file: sha256(part / file) for file in FILES}, "cost": cost}
                (part / _RECORD).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
                for file in (*FILES, _RECORD):
                    follow_umask(part / file)
                part.chmod((part / "adapter").stat().st_mode)  # mkdtemp's folders are for their owner alone
                shutil.rmtree(self.entry, ignore_errors=True)
                os.rename(part, self.entry)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        except OSError as error:
            log.warning("shared model %s: cannot be stored (%s)", self.entry, error)
