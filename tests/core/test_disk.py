"""The estimate of what a run writes, against the sizes of real files; and folders that cannot be written to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import error_page
from unsee.core import disk

ROOT = Path(__file__).parents[2]
TINY = ROOT / "src" / "unsee" / "data" / "tiny-llava"


def test_an_adapter_of_the_tiny_model() -> None:
    # Four layers, each 4 projections of 160 x 160 and 3 of 160 x 480; rank 8; four bytes. A finished run's file of this
    # adapter has 417,536 bytes, its header of names among them.
    numbers = 8 * 4 * (4 * (160 + 160) + 3 * (160 + 480))
    assert disk.adapter_bytes(TINY, 8, "language") == 4 * numbers == 409_600
    both, tower = disk.adapter_bytes(TINY, 8, "both"), disk.adapter_bytes(TINY, 8, "vision")
    assert both == 4 * numbers + tower and tower > 0


def test_a_picture_of_the_tiny_model() -> None:
    assert disk.picture_bytes(TINY) == 16 * 160 * 4


def test_a_fetched_checkpoint_is_looked_at_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert disk.local("owner/name") == Path("owner/name")
    folder = tmp_path / "models--owner--name" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    assert disk.local("owner/name") == folder
    assert disk.local(str(TINY)) == TINY


def test_what_is_not_there_or_damaged_takes_no_room(tmp_path: Path) -> None:
    assert disk.adapter_bytes(tmp_path, 8, "both") == disk.picture_bytes(tmp_path) == 0
    for tokens in (None, float("inf")):
        (tmp_path / "config.json").write_text(
            json.dumps({"image_seq_length": tokens, "text_config": {"hidden_size": 1}})
        )
        assert disk.picture_bytes(tmp_path) == 0
    for data in (b"", b"\xff" * 20, (9).to_bytes(8, "little") + b'{"a": 1}'):
        (tmp_path / "model.safetensors").write_bytes(data)
        assert disk.adapter_bytes(tmp_path, 8, "both") == disk.picture_bytes(tmp_path) == 0


def test_a_full_disk_is_seen_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 2_000_000_000}))
    disk.check(tmp_path / "results", {"22 adapters": 1_999_999_999})
    with pytest.raises(disk.RoomError) as caught:
        disk.check(
            tmp_path / "results", {"22 adapters": 3_000_000_000, "features of pictures": 400_000_000, "nothing": 0}
        )
    error_page.check(
        "a disk with less room than a run takes", "planning", str(caught.value).replace(str(tmp_path), "FOLDER")
    )
    assert not (tmp_path / "results").exists()


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "results").symlink_to(tmp_path / "gone")
    with pytest.raises(disk.RoomError) as caught:
        disk.check(tmp_path / "results", {})
    error_page.check(
        "results/ where nothing can be written", "planning", str(caught.value).replace(str(tmp_path), "FOLDER")
    )
    (tmp_path / "results").unlink()
    (tmp_path / "results").symlink_to("/proc")  # where root has no right either; the reason differs by user
    with pytest.raises(disk.RoomError, match="results: cannot be written to"):
        disk.check(tmp_path / "results", {})
