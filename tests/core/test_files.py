"""Files that are whole or not there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from unsee.core.files import atomic_write, is_intact, write_checksummed, write_text


def test_what_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    write_text(file, "old")
    with pytest.raises(ZeroDivisionError), atomic_write(file) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert file.read_text() == "old"


@pytest.mark.parametrize("free", [0, 10**9])
def test_a_full_disk_is_told_from_any_error(free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.save, for one, says of a full disk: unexpected pos 1166912 vs 1166804."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    with pytest.raises(RuntimeError if free else OSError) as caught, atomic_write(tmp_path / "weights"):
        raise RuntimeError("unexpected pos")
    assert free or (caught.value.errno == errno.ENOSPC and "unexpected pos" in str(caught.value))  # type: ignore[attr-defined]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "of another run").touch()
    with atomic_write(folder) as part:
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
    with write_checksummed(tmp_path / "name.bin") as part:
        part.write_bytes(b"0123456789")
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("name-") and path.suffix == ".bin"
    assert is_intact(path)
    path.write_bytes({"cut": b"01234", "flipped": b"0123456788"}[damage])
    assert not is_intact(path)
