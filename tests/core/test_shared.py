"""Models that several folders share: copied whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unsee.core.shared import FILES, SharedModel

COST = {"seconds": 12.5, "peak_memory_mb": 300.0}


def run(folder: Path, content: bytes = b"content") -> Path:
    """The files that a training job leaves."""
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content + name.encode())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_a_model_is_taken_as_it_was_stored(tmp_path: Path) -> None:
    model = SharedModel(tmp_path / "shared", "abcdef")
    assert model.fetch(tmp_path / "second") is None
    first = run(tmp_path / "first")
    model.keep(first, COST)
    assert model.fetch(tmp_path / "second") == COST | {"key": "abcdef"}
    assert contents(tmp_path / "second") == contents(first)
    assert not any((tmp_path / "second" / name).is_symlink() for name in FILES), "damage here is damage here only"
    assert SharedModel(tmp_path / "shared", "abcdee").fetch(tmp_path / "third") is None, "another key is another model"
    assert sorted(path.name for path in (tmp_path / "shared/ab").iterdir()) == ["abcdef"], (
        "nothing half written is left"
    )


@pytest.mark.parametrize("name", [*FILES, "record.json"])
@pytest.mark.parametrize("damage", ["edited", "missing"])
def test_a_damaged_model_is_not_taken_and_is_replaced(tmp_path: Path, name: str, damage: str) -> None:
    model = SharedModel(tmp_path / "shared", "abcdef")
    first = run(tmp_path / "first")
    model.keep(first, COST)
    if damage == "missing":
        (model.entry / name).unlink()
    else:
        (model.entry / name).write_bytes(b"{}")
    old = run(tmp_path / "second", b"old")
    assert model.fetch(old) is None
    assert contents(old) == contents(run(tmp_path / "same", b"old")), "what is there stays"
    model.keep(first, COST)
    assert model.fetch(old) == COST | {"key": "abcdef"} and contents(old) == contents(first)


def test_a_folder_that_cannot_be_written_stops_no_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "shared").write_text("a file")
    SharedModel(tmp_path / "shared", "abcdef").keep(run(tmp_path / "first"), COST)
    assert "cannot be stored" in caplog.text


def test_the_mode_is_that_of_an_ordinary_file(tmp_path: Path) -> None:
    model = SharedModel(tmp_path / "shared", "abcdef")
    model.keep(run(tmp_path / "first"), COST)
    (tmp_path / "ordinary").mkdir()
    (tmp_path / "ordinary/file").write_text("")
    assert model.entry.stat().st_mode == (tmp_path / "ordinary").stat().st_mode
    assert (model.entry / FILES[1]).stat().st_mode == (tmp_path / "ordinary/file").stat().st_mode
    assert json.loads((model.entry / "record.json").read_text())["cost"] == COST
