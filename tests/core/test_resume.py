"""The place of a job's unfinished work: whose it is, for how long, and what is not continued."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unsee.core import locks
from unsee.core.resume import acquire

SRC = Path(__file__).parents[2] / "src"


def _claimed_by_another(parent: Path, key: str) -> subprocess.Popen[str]:
    """Another start of the job, at work until it is killed."""
    code = f"""
import time
from pathlib import Path
from unsee.core.resume import acquire
place = acquire(Path({str(parent)!r}), "unlearn/some/run", {key!r}, minutes=1, steps=None)
place.folder.mkdir()
(place.folder / "kept").touch()
print("claimed", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SRC)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "claimed\n"
    return process


def test_a_start_waits_for_the_one_before_and_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    other = _claimed_by_another(tmp_path, "key")
    (lock,) = tmp_path.glob("*/lock")
    with pytest.raises(BlockingIOError):
        locks.hold(lock, wait=False)
    killed_at = time.monotonic() + 0.5
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -KILL {other.pid}"])
    place = acquire(tmp_path, "unlearn/some/run", "key", minutes=1, steps=None)
    assert time.monotonic() >= killed_at, "it has waited"
    assert (place.folder / "kept").exists()
    killer.wait()
    other.communicate()
    place.clear()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_stops_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, "no locks")

    caplog.set_level("INFO", "unsee")
    monkeypatch.setattr(fcntl, "flock", flock)
    locks.hold(tmp_path / "lock", wait=False)
    assert f"{tmp_path / 'lock'}: this file system has no locks" in caplog.text


def test_what_was_kept_under_other_settings_is_deleted_never_continued(tmp_path: Path) -> None:
    other = _claimed_by_another(tmp_path, "old")
    other.kill()
    other.communicate()
    place = acquire(tmp_path, "unlearn/some/run", "new", minutes=1, steps=None)
    assert not place.folder.exists()
    assert [path.name for path in place.folder.parent.iterdir()] == ["lock"]
