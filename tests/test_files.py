"""Files that are whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unsee.files import sealed, whole, write_text, written


def test_what_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    write_text(file, "old")
    with pytest.raises(ZeroDivisionError), written(file) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert file.read_text() == "old"


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "of another run").touch()
    with written(folder) as part:
        part.mkdir()
        (part / "weights").touch()
        assert [path.name for path in folder.iterdir()] == ["of another run"], "not before the end"
    assert [path.name for path in folder.iterdir()] == ["weights"]


def test_what_a_dead_process_left_is_deleted_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".table.csv.{dead.pid}.part").touch()
    living = tmp_path / f".table.csv.{os.getppid()}.part"
    living.touch()
    write_text(tmp_path / "table.csv", "new")
    assert sorted(tmp_path.iterdir()) == sorted([living, tmp_path / "table.csv"])


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_seal_tells_damage(damage: str, tmp_path: Path) -> None:
    with sealed(tmp_path / "name.bin") as part:
        part.write_bytes(b"0123456789")
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("name-") and path.suffix == ".bin"
    assert whole(path)
    path.write_bytes({"cut": b"01234", "flipped": b"0123456788"}[damage])
    assert not whole(path)
